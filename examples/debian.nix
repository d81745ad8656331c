# Debian packages from a lock file. Pure: everything is decided by nopal.lock.
#
#   packages.NAME        the unpacked package
#   closure NAME         the names of all packages that NAME needs, itself included
#   tree [ NAME … ]      the closure of the names, joined to one tree with /usr, /etc and so on
#   source NAME          the upstream archive of a source package
#   sourceFiles NAME     all its files, by name
{
  lock ? ./nopal.lock,
  # whether trees contain the packages that Debian marks essential: others use them without declaring it
  essential ? true,
}:

let
  data = builtins.fromJSON (builtins.readFile lock);

  # Debian's versions and file names have characters that store paths may not have
  storeName = builtins.replaceStrings [ "~" ":" "%" "," "@" "!" ] [ "-" "-" "-" "-" "-" "-" ];

  fetch =
    file:
    derivation {
      name = storeName (baseNameOf file.url);
      system = "builtin";
      builder = "builtin:fetchurl";
      url = file.url;
      urls = [ file.url ];
      executable = false;
      unpack = false;
      outputHashMode = "flat";
      outputHashAlgo = "sha256";
      outputHash = file.sha256;
      preferLocalBuild = true;
    };

  unpack =
    name: package:
    derivation {
      name = storeName "${name}-${package.version}";
      system = "builtin";
      builder = "builtin:unpack-deb";
      deb = fetch package;
      preferLocalBuild = true;
    }
    // {
      pname = name;
      inherit (package) version depends;
    };

  packages = builtins.mapAttrs unpack data.packages;

  lookUp =
    set: kind: name:
    set.${name} or (throw "nopal.lock has no ${kind} '${name}'; lock it with 'nopal import deb ${name}'");

  closureOf =
    names:
    let
      reached = builtins.genericClosure {
        startSet = map (key: { inherit key; }) (names ++ (if essential then data.essential else [ ]));
        operator = { key }: map (key: { inherit key; }) (lookUp data.packages "package" key).depends;
      };
    in
    builtins.sort builtins.lessThan (map (node: node.key) reached);

  # the first pair of names that must not be joined, or none
  conflictIn =
    names:
    let
      pairs = builtins.concatMap (
        one:
        map (other: "${one} and ${other}") (
          builtins.filter (other: builtins.elem other names) ((data.conflicts or { }).${one} or [ ])
        )
      ) names;
    in
    if pairs == [ ] then null else builtins.head pairs;

  tree =
    names:
    let
      all = closureOf names;
      conflict = conflictIn all;
      single = builtins.length names == 1;
      name = if single then "${builtins.head names}-${data.packages.${builtins.head names}.version}" else "debian";
    in
    if conflict != null then
      throw "${conflict} conflict and cannot be in one tree"
    else
      derivation {
        name = storeName "${name}-tree";
        system = "builtin";
        builder = "builtin:join-trees";
        trees = map (name: packages.${name}) all;
        inherit names;
        preferLocalBuild = true;
      };

  sourceFiles = name: builtins.mapAttrs (_: fetch) (lookUp (data.sources or { }) "source package" name).files;

  source =
    name:
    let
      files = (lookUp (data.sources or { }) "source package" name).files;
      matching = pattern: builtins.filter (file: builtins.match pattern file != null) (builtins.attrNames files);
      upstream = matching ".*\\.orig\\.tar\\.(gz|xz|bz2|zst)";
      native = matching ".*\\.tar\\.(gz|xz|bz2|zst)";
    in
    if upstream != [ ] then
      fetch files.${builtins.head upstream}
    else if native != [ ] then
      fetch files.${builtins.head native}
    else
      throw "source package '${name}' has no archive";
in
if data.version or null != 1 then
  throw "nopal.lock has version ${toString (data.version or "none")}, this expression reads version 1"
else
  {
    inherit packages tree source sourceFiles;
    closure = name: closureOf [ name ];
    inherit (data) architecture;
  }
