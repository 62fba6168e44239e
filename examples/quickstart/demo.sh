#!/bin/sh
# The quickstart as a transcript: `make demo`, or run it with `trueup` on PATH. Everything happens in a scratch
# folder that is removed at the end; nothing else on the machine is touched.
set -eu

example=$(cd "$(dirname "$0")" && pwd)
scratch=$(cd "$(mktemp -d)" && pwd)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
cd "$scratch"

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

cp -R "$example/stack" estate
sed -i "s|/tmp/trueup-quickstart|$scratch/live|" estate/stack.yaml
git init --quiet --initial-branch main estate

say "A Git repository with one stack: a directory, two files, and a configuration that is made from them."
show 0 ls estate
show 0 git -C estate add .
show 0 git -C estate commit --quiet -m Quickstart

say "What would it do? (Exit code 2: there is something to do.)"
show 2 trueup plan estate --ref main

say "Do it."
show 0 trueup reconcile estate --ref main --yes
show 0 cat live/server.conf

say "Somebody edits a file by hand ..."
show 0 sed -i s/Allow/Disallow/ live/robots.txt

say "... which a plan shows ..."
show 2 trueup plan estate --ref main

say "... and the next run corrects."
show 0 trueup reconcile estate --ref main --yes
show 0 cat live/robots.txt

say "Another run has nothing to do. (Exit code 0.)"
show 0 trueup reconcile estate --ref main --yes
show 0 trueup plan estate --ref main

say "Remove all of it, what depends on something before that."
show 0 trueup destroy estate --ref main --yes
show 2 ls live
