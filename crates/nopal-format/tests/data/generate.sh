#!/bin/sh
# Records what Nix makes of our inputs, for the tests of nopal-format to compare with. Run it with Nix 2.34 or newer in
# PATH and an empty store (NIX_REMOTE or NIX_CONFIG), then, for the file derivations-2.8.txt only, with Nix 2.8:
#   ./generate.sh OUT            everything
#   ./generate.sh OUT old        only the derivations that an old version knows
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export NIX_CONFIG="${NIX_CONFIG:-}
experimental-features = nix-command flakes ca-derivations ${2:-dynamic-derivations impure-derivations git-hashing blake3-hashes}
sandbox = false
warn-dirty = false"
case ${2:-} in old) NIX_CONFIG=$(printf '%s' "$NIX_CONFIG" | sed 's/ca-derivations old/ca-derivations/') ;; esac
export NIX_CONFIG
quiet() { "$@" 2>/dev/null; }

# One line for each derivation of the closure: base name, tab, ATerm (which has no line feed of its own).
drvs_of() { quiet nix-instantiate "$@" | sed 's/!.*//'; }
list() {
    for drv in $(quiet nix-store --query --requisites $(drvs_of "$@") | grep '\.drv$' | sort); do
        printf '%s\t%s\n' "$(basename "$drv")" "$(quiet nix store cat "$drv")"
    done
}
if [ "${2:-}" = old ]; then
    list "$here/derivations.nix" > "$out/derivations-2.8.txt"
    exit
fi
list "$here/derivations.nix" "$here/derivations-new.nix" > "$out/derivations.txt"
nix derivation show --recursive $(drvs_of "$here/derivations.nix" "$here/derivations-new.nix") > "$out/derivations.json"
nix derivation show --pretty $(drvs_of "$here/derivations.nix" -A structured) > "$out/structured.json"

# Hashes: text, algorithm from context or -, then base16, nix32, base64, SRI; or "reject".
tab=$(printf '\t')
while IFS="$tab" read -r text algo; do
    if [ "$algo" = - ]; then a=; else a="--hash-algo $algo"; fi
    row="$text$tab$algo"
    for form in base16 nix32 base64 sri; do
        value=$(quiet nix hash convert $a --to $form -- "$text") || { row="$text$tab$algo${tab}reject"; break; }
        row="$row$tab$value"
    done
    printf '%s\n' "$row"
done < "$here/hash-inputs.tsv" > "$out/hashes.tsv"

# Names: name, accept or reject.
while IFS= read -r name; do
    if quiet nix-instantiate --eval -E "builtins.toFile \"$name\" \"\"" >/dev/null; then v=accept; else v=reject; fi
    printf '%s\t%s\n' "$name" $v
done < "$here/name-inputs.txt" > "$out/names.tsv"

# A tree, its NAR, and the paths it gets.
tree=$work/tree; mkdir -p "$tree/bin" "$tree/empty" "$tree/share/doc"
printf '#!/bin/sh\necho hi\n' > "$tree/bin/hi"; chmod +x "$tree/bin/hi"
: > "$tree/share/empty"; printf 12345678 > "$tree/share/eight"; printf 'text\n' > "$tree/share/doc/a~b c"
ln -s ../bin/hi "$tree/share/link"; ln -s /absent "$tree/absolute"; printf x > "$tree/Z"; printf y > "$tree/a.b"; printf z > "$tree/a"
nix-store --dump "$tree" > "$out/tree.nar"
file=$tree/bin/hi
{
    printf 'source\ttree\t%s\n' "$(quiet nix-store --add "$tree")"
    for algo in md5 sha1 sha256 sha512; do
        printf 'nar-%s\ttree\t%s\n' $algo "$(quiet nix-store --recursive --add-fixed $algo "$tree")"
        printf 'flat-%s\thi\t%s\n' $algo "$(quiet nix-store --add-fixed $algo "$file")"
    done
    printf 'git-sha1\ttree\t%s\n' "$(quiet nix store add --mode git --hash-algo sha1 "$tree")"
    printf 'text-sha256\thi\t%s\n' "$(quiet nix store add --mode text "$file")"
    printf 'nar-blake3\ttree\t%s\n' "$(quiet nix store add --hash-algo blake3 "$tree")"
    for output in out dev a-b; do printf 'placeholder\t%s\t%s\n' $output "$(nix eval --raw --expr "builtins.placeholder \"$output\"")"; done
} > "$out/paths.tsv"

# A small closure with a self reference, a reference, a deriver; then as content-addressed paths, and in a cache.
cat > "$work/closure.nix" <<'NIX'
let run = name: script: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" script ]; }; in
rec { dep = run "dep" "echo dependency > $out"; itself = run "itself" "echo $out $out > $out; echo ${dep} >> $out"; }
NIX
quiet nix-build --no-out-link "$work/closure.nix" > "$out/closure.txt"
itself=$(quiet nix-build --no-out-link "$work/closure.nix" -A itself)
text=$(nix eval --raw --expr 'builtins.toFile "linked" "see ${builtins.toFile "text" "plain"}"')
quiet nix store make-content-addressed --json "$itself" > "$out/content-addressed.json"
quiet nix key generate-secret --key-name test-1 > "$out/secret-key"
quiet nix key convert-secret-to-public < "$out/secret-key" > "$out/public-key"
all=$(quiet nix-store --query --requisites "$itself" "$text" $(quiet nix-store --add "$tree"))
quiet nix store sign --key-file "$out/secret-key" $all
nix path-info --json --json-format 1 $all > "$out/path-info-1.json"
nix path-info --json --json-format 2 $all > "$out/path-info-2.json"
quiet nix copy --to "file://$work/cache?compression=none&write-nar-listing=true" $all
for file in $(ls "$work"/cache/*.narinfo | sort); do cat "$file"; echo; done > "$out/narinfos.txt"
cat "$work/cache/$(basename "$(quiet nix-store --add "$tree")" | cut -c1-32).ls" > "$out/tree.ls"
