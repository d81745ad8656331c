# Derivations of every kind; `generate.sh` records what Nix makes of them.
let
  drv = name: attrs: derivation ({ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; } // attrs);
  sha256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
  text = builtins.toFile "notes.txt" "plain text";
  linked = builtins.toFile "linked.txt" "see ${text}";
  ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
in
rec {
  simple = drv "simple" { };
  escapes = drv "escapes" { a = "q\" b\\ n\n r\r t\t bell umlaut ä euro €"; args = [ "-c" "echo \"$a\"\n" "" ]; };
  multi = drv "multi" { outputs = [ "out" "dev" "lib" "man" ]; };
  only_dev = drv "only-dev" { outputs = [ "dev" ]; };
  sources = drv "sources" { inherit text linked; list = [ text linked 1 true null ]; };
  input = drv "input" { a = simple; b = multi.dev; c = multi.lib; };
  deep = drv "deep" { a = input; b = only_dev; c = escapes; };
  fixed_flat = drv "fixed-flat" { outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = sha256; };
  fixed_sri = drv "fixed-sri" { outputHashMode = "recursive"; outputHash = "sha256-${sha256}"; };
  fixed_nar = drv "fixed-nar.tar.gz" { outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = sha256; };
  fixed_md5 = drv "fixed-md5" { outputHashAlgo = "md5"; outputHash = "d41d8cd98f00b204e9800998ecf8427e"; };
  fixed_sha1 = drv "fixed-sha1" { outputHashMode = "recursive"; outputHashAlgo = "sha1"; outputHash = "da39a3ee5e6b4b0d3255bfef95601890afd80709"; };
  fixed_sha512 = drv "fixed-sha512" { outputHashAlgo = "sha512"; outputHash = builtins.hashString "sha512" ""; };
  fixed_with_input = drv "fixed-with-input" { outputHashAlgo = "sha256"; outputHash = sha256; a = simple; };
  over_fixed = drv "over-fixed" { a = fixed_flat; b = fixed_nar; c = fixed_with_input; d = input; };
  floating = drv "floating" (ca // { outputs = [ "out" "doc" ]; });
  over_floating = drv "over-floating" { a = floating; b = floating.doc; c = simple; };
  over_over_floating = drv "over-over-floating" { a = over_floating; };
  floating_over = drv "floating-over" (ca // { a = floating.doc; b = over_floating; });
  floating_flat = drv "floating-flat" { __contentAddressed = true; outputHashMode = "flat"; outputHashAlgo = "sha512"; };
  structured = drv "structured" {
    __structuredAttrs = true;
    outputs = [ "out" "dev" ];
    int = -3; float = 1.5; small = 0.000012; big = 1.0e30; whole = 2.0; yes = true; no = false; none = null; empty = { }; nothing = [ ];
    text = "ä\n\"\\/\t"; nested = { b = [ 1 { c = "x"; } ]; a = text; }; dep = simple;
    exportReferencesGraph.graph = [ simple ];
  };
  pass_as_file = drv "pass-as-file" { passAsFile = [ "big" ]; big = "large text"; };
  graph = drv "graph" { exportReferencesGraph = [ "graph" simple ]; };
  odd_name = drv "a+b-c._?=1" { };
  deep_context = drv "deep-context" { a = builtins.addErrorContext "x" simple.drvPath; };
  discarded = drv "discarded" { a = builtins.unsafeDiscardOutputDependency simple.drvPath; };
  empty_args = drv "empty-args" { args = [ ]; "" = "empty name"; };
  placeholder = drv "placeholder" { a = builtins.placeholder "out"; b = builtins.placeholder "dev"; outputs = [ "out" "dev" ]; };
}
