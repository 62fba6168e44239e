#!/bin/sh
# The quickstart as a transcript: `make demo`, or run it with `trueup` on PATH. Everything happens in a scratch
# folder that is removed at the end; nothing else on the machine is touched.
set -eu

example=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# The store and the cache of Git mirrors, which would otherwise be in the user's home.
export XDG_STATE_HOME="$scratch/state" XDG_CACHE_HOME="$scratch/cache"
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=demo GIT_AUTHOR_EMAIL=demo@example.com
export GIT_COMMITTER_NAME=demo GIT_COMMITTER_EMAIL=demo@example.com
unset TRUEUP_STORE TRUEUP_CONFIG

say() { printf '\n# %s\n' "$*"; }

# show CODE COMMAND...: prints the command, runs it, and insists on that exit code.
show() {
    expected=$1
    shift
    printf '\n$ %s\n' "$*"
    code=0
    "$@" || code=$?
    [ "$code" = 0 ] || printf '(exit code %s)\n' "$code"
    if [ "$code" != "$expected" ]; then
        echo "the demo expected exit code $expected, not $code" >&2
        exit 1
    fi
}

say "A Git repository with one stack: a directory, two files, and a configuration made from them."
cp -R "$example/stack" "$scratch/estate"
cd "$scratch/estate"
sed -i "s|/tmp/trueup-quickstart|$scratch/live|" stack.yaml
git init --quiet --initial-branch main .
git add .
show 0 git commit --quiet -m "The quickstart"
show 0 ls

say "What would it do? (Exit code 2: there is something to do.)"
show 2 trueup plan . --ref main

say "Do it."
show 0 trueup reconcile . --ref main --yes
show 0 cat "$scratch/live/server.conf"

say "Somebody edits a file by hand..."
show 0 sed -i 's/8080/9999/' "$scratch/live/server.conf"

say "... which a plan shows, field by field..."
show 2 trueup plan . --ref main

say "... and the next run corrects."
show 0 trueup reconcile . --ref main --yes
show 0 cat "$scratch/live/server.conf"

say "Another run has nothing to do. (Exit code 0.)"
show 0 trueup reconcile . --ref main --yes
show 0 trueup plan . --ref main

say "Remove all of it, in the right order."
show 0 trueup destroy . --ref main --yes
show 2 ls "$scratch/live"
