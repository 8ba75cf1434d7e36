import pytest

from mpvss_ros.cloud.parameters import PARAMETERS

from ..test_launch import LAUNCH_FILE, loaded, parameters, ros2_launch

CLOUD_LAUNCH_FILE = LAUNCH_FILE.with_name("cloud.launch.py")


@pytest.fixture
def start(monkeypatch):
    """Call ``start`` of the launch file with some arguments given; returns the node."""
    module = loaded(CLOUD_LAUNCH_FILE, monkeypatch)
    return lambda **given: module.start({name: default for name, default, _ in module.ARGUMENTS} | given)[0]


def test_what_is_not_given_is_left_to_the_node(start):
    node = start()
    assert node.parameters == [] and not node.respawn
    assert (node.executable, node.name, node.namespace) == ("cloud_node", "cloud", "mpvss")
    assert dict(node.remappings) == {
        "depth": "/camera/depth_registered/image_raw",
        "image": "/camera/image_raw",
        "camera_info_in": "/camera/camera_info",
    }


def test_arguments_become_parameters_and_topics(start, tmp_path):
    (tmp_path / "my.yaml").write_text("/**: {ros__parameters: {slop_s: 0.1}}\n")
    node = start(
        cloud_in="/lidar/points", organized="false", params_file=str(tmp_path / "my.yaml"), image_transport="compressed"
    )
    assert dict(node.remappings)["cloud_in"] == "/lidar/points"
    assert node.parameters[0] == str(tmp_path / "my.yaml")
    assert parameters(node) == {"source": "cloud", "organized": False, "image_transport": "compressed"}
    assert set(parameters(node)) <= {parameter.name for parameter in PARAMETERS}


def test_labels_may_be_where_a_profile_sends_them(start):
    topic = "/hydra/input/camera/semantic/image_raw"
    assert dict(start(labels=topic).remappings)["labels"] == topic


@pytest.mark.parametrize("given", [{"organized": "perhaps"}, {"params_file": "nowhere.yaml"}, {"log_level": "loud"}])
def test_a_wrong_argument_is_one_line(start, given):
    ((name, text),) = given.items()
    with pytest.raises(ValueError, match=f"{name}:={text} (must be true or false|is not a file|must be one of debug, info)"):
        start(**given)


def test_the_real_launch_library_takes_it_and_names_what_nobody_reads():
    exit_code, output = ros2_launch(CLOUD_LAUNCH_FILE, "dept:=/depth", "organized:=perhaps")
    assert exit_code == 1 and "organized:=perhaps must be true or false" in output and "Traceback" not in output
    assert output.count("unknown launch argument 'dept' has no effect: did you mean 'depth'?") == 1
