# Shared by script/up, script/test and script/check; sourced, with the working directory at the repository's root.
# Makes .venv and keeps it equal to a requirements file.

# The stamps are sums of everything an installation depends on, so an unchanged checkout starts at once. The root is
# part of it because a virtual environment holds absolute paths: a moved checkout needs a new one.
stamp_of() {
    { pwd; .venv/bin/python --version; cat "$1" pyproject.toml; } | cksum
}

find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            return 0
        fi
    done
    echo "Python 3.11 or newer is needed, and none of python3, python3.11 to python3.14 is one." >&2
    echo "On Debian or Ubuntu: apt-get install python3 python3-venv" >&2
    return 1
}

# Whether .venv was made for another place; one that somebody made by hand doesn't say, and is taken as it is.
moved() {
    [ -f .venv/.root ] && [ "$(cat .venv/.root)" != "$(pwd)" ]
}

make_venv() {
    find_python || return 1
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$("$python" --version) has no venv module. On Debian or Ubuntu: apt-get install python3-venv" >&2
        return 1
    fi
    [ -L .venv ] && rm .venv # a link to another checkout's: --clear would empty that one
    "$python" -m venv --clear .venv
}

pip() {
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore .venv/bin/python -m pip --quiet --quiet "$@"
}

# ensure_venv FILE: afterwards .venv holds what FILE names, checked by hash, and the project itself.
ensure_venv() {
    stamp=.venv/.installed.$1
    if moved || ! .venv/bin/python -c '' 2>/dev/null; then
        echo "Making .venv ..." >&2
        make_venv || return 1
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" = "$(stamp_of "$1")" ]; then
        return 0
    fi
    echo "Installing what $1 names into .venv; once, half a minute to a minute ..." >&2
    pip install --require-hashes --requirement "$1" || return 1
    pwd >.venv/.root
    # The build tool came with the requirements: nothing is fetched unchecked.
    pip install --no-deps --no-build-isolation --editable . || return 1
    stamp_of "$1" >"$stamp"
    # The tests' requirements hold the program's own, at the same versions.
    [ "$1" != requirements-dev.txt ] || stamp_of requirements.txt >.venv/.installed.requirements.txt
}
