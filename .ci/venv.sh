# Sourced by run.sh and test.sh: makes .venv with the given requirements file, once, and puts its Python into $python.
# usage: . .ci/venv.sh requirements.txt

# The ROS wheels mark a process whose library path they have set; another environment's mark would break this one.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE
export PIP_DISABLE_PIP_VERSION_CHECK=1

requirements=$1
base_python=${PYTHON:-python3}
python=$PWD/.venv/bin/python

"$base_python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "Python 3.10 or newer is needed; $base_python is $("$base_python" --version 2>&1). Set PYTHON=/path/to/python3." >&2
    exit 2
}
installed=.venv/installed-$requirements-$(cat requirements*.txt setup.py | sha256sum | cut -c1-16)
if [ ! -e "$installed" ]; then
    [ -x "$python" ] || "$base_python" -m venv .venv || {
        echo "Cannot make .venv: install Python's venv module (Debian and Ubuntu: apt install python3-venv)." >&2
        exit 2
    }
    echo "Installing into .venv, once; this takes a few minutes ..."
    "$python" -m pip install --quiet -r "$requirements"
    "$python" -m pip install --quiet --no-deps --editable .
    touch "$installed"
fi
