# makeWrapper, makeBinaryWrapper and their kin, by `nopal wrap`: no compiler, and no shell in what is made.
#
# makeWrapper EXECUTABLE WRAPPER FLAGS      make a program that starts another one
# wrapProgram PROGRAM FLAGS                 put such a program in its place
#
# makeShellWrapper and wrapProgramShell read flags as nixpkgs' makeWrapper, makeBinaryWrapper and wrapProgramBinary as
# its makeBinaryWrapper; `nopal wrap --help` has the flags. What needs a shell is left to $nopalWrapShell, or $SHELL.
# If $nopalWrapFlags is set, as for another processor to `--arch aarch64`, that is given to `nopal wrap` as well.

nopalWrap() {
    # wrappers are moved by many packages: what they need moves with them
    @nopal@ wrap --embed --shell "${nopalWrapShell:-${SHELL:-/bin/sh}}" ${nopalWrapFlags:-} "$@"
}

assertExecutable() {
    if [[ ! -f "$1" || ! -x "$1" ]]; then
        echo "cannot wrap '$1', which is not an executable file" >&2
        exit 1
    fi
}

makeShellWrapper() { nopalWrap --fill --from "$1" --to "$2" -- "${@:3}"; }
makeBinaryWrapper() { nopalWrap --binary --from "$1" --to "$2" -- "${@:3}"; }
wrapProgramShell() { nopalWrap --fill -- "$@"; }
wrapProgramBinary() { nopalWrap --binary -- "$@"; }

makeWrapper() { make@manner@Wrapper "$@"; }
wrapProgram() { wrapProgram@manner@ "$@"; }

# The wrapper itself, on standard output, where nixpkgs' function prints C.
makeCWrapper() { nopalWrap --binary --from "$1" --to - -- "${@:2}"; }
makeDocumentedCWrapper() { makeCWrapper "$@"; }

addSuffix() {
    local end=$1 name
    shift
    for name; do
        echo "$name$end"
    done
}

filterExisting() {
    local file
    for file; do
        if [[ -e "$file" ]]; then
            echo "$file"
        fi
    done
}
