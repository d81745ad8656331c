# The paths of all derivations at the top of a package set; those of corepkgs are skipped whose evaluation ends in
# an error that cannot be caught.
packages:
let
  skipped = [
    "defaultCrateOverrides" "flex_2_5_39" "gawk-with-extensions" "gawkextlib" "gsasl" "gtk3" "gtk4" "icu60"
    "icu63" "icu64" "icu66" "icu67" "icu69" "icu70" "icu71" "icu72" "icu73" "icu74" "icu75" "icu76" "icu77"
    "icu78" "imagemagick6" "imagemagick6Big" "imagemagick6_light" "imagemagickBig" "imagemagick_light" "libheif"
    "mrustc-bootstrap" "nix-prefetch-bzr" "nix-prefetch-cvs" "nix-prefetch-darcs" "nix-prefetch-pijul"
    "nix-prefetch-scripts" "pkgsForCudaArch" "rustls-ffi"
  ];
  path = name:
    let
      package = packages.${name};
      isDerivation = builtins.isAttrs package && package.type or null == "derivation";
      tried = builtins.tryEval (if isDerivation then package.drvPath else null);
    in
    { inherit name; value = if tried.success then tried.value else "throws"; };
in
builtins.listToAttrs (map path (builtins.attrNames (removeAttrs packages skipped)))
