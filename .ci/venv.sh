# Sourced by run.sh and test.sh: makes .venv with the given requirements file, once, and puts its Python into $python.
# usage: . .ci/venv.sh requirements.txt

# The ROS wheels mark a process whose library path they have set; another environment's mark and path would break this one.
[ -z "${_ROS_WHEELS_BOOTSTRAP_COMPLETE:-}" ] || unset _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH
export PIP_DISABLE_PIP_VERSION_CHECK=1

requirements=$1
python=$PWD/.venv/bin/python

# python3 may be too new or too old for the wheels of requirements.txt while another one beside it is not.
base_python=
for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13 python3.10}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2> /dev/null; then
        base_python=$candidate
        break
    fi
done
if [ -z "$base_python" ]; then
    candidate=${PYTHON:-python3}
    found=$("$candidate" --version 2>&1) || found="no Python"
    echo "$candidate is $found, and the pinned packages have wheels for Python 3.10 to 3.13 only: install one of these," \
        "and set PYTHON=/path/to/python3.12 if it is not on PATH." >&2
    exit 2
fi

# Makes $1 an environment, if it is none yet.
make_environment() {
    [ -x "$1/bin/python" ] || "$base_python" -m venv "$1" || {
        echo "Cannot make $1: install Python's venv module (Debian and Ubuntu: apt install python3-venv)." >&2
        exit 2
    }
}

# Marks of what is installed change with each requirement.
requirements_sum=$(cat requirements*.txt setup.py | sha256sum | cut -c1-16)
installed=.venv/installed-$requirements-$requirements_sum
if [ ! -e "$installed" ]; then
    make_environment .venv
    echo "Installing into .venv, once; this takes a few minutes ..."
    "$python" -m pip install --quiet -r "$requirements"
    "$python" -m pip install --quiet --no-deps --editable .
    touch "$installed"
fi
