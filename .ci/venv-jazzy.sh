# Sourced by test.sh after venv.sh: makes .venv-jazzy, once, and puts its Python into $jazzy_python. What requirements-jazzy.txt
# names comes from there, all else from .venv. $jazzy_python stays empty where .venv's Python has no such wheels.

jazzy_python=
if "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then
    jazzy_python=$PWD/.venv-jazzy/bin/python
    installed=.venv-jazzy/installed-$requirements_sum
    if [ ! -e "$installed" ]; then
        base_python=$python make_environment .venv-jazzy
        echo "Installing ROS 2 Jazzy and what Ubuntu 24.04 has beside it into .venv-jazzy, once ..."
        "$jazzy_python" -m pip install --quiet -r requirements-jazzy.txt
        # A path file is read after an environment's own packages, which therefore win.
        "$python" -c 'import sysconfig; path = sysconfig.get_path("purelib"); print(f"import site; site.addsitedir({path!r})")' \
            > "$("$jazzy_python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_venv.pth"
        touch "$installed"
    fi
else
    echo "No wheels of numpy 1.26 and scipy 1.11 for this Python: only .venv is tested. Set PYTHON to a Python 3.10 to 3.12." >&2
fi
