# Makes a flake of the nodes of its lock file. A node has
#   inputs      names of other nodes, by the names of the inputs
#   isFlake     whether it has outputs, or is only a tree
#   dir         where in its tree the flake is; for one with a parent, where in the parent's flake
#   sourceInfo  the tree, if it was fetched already
#   locked      what to fetch otherwise
#   parent      the node whose tree it is in otherwise
nodes: root: fetch:

let
  flakes = builtins.mapAttrs (
    name: node:
    let
      sourceInfo =
        node.sourceInfo or (if node ? parent then flakes.${node.parent}.sourceInfo else fetch node.locked);

      base = if node ? parent then flakes.${node.parent}.outPath else sourceInfo.outPath;

      outPath = if node.dir == "" then base else base + "/" + node.dir;

      inputs = builtins.mapAttrs (_: input: flakes.${input}.value) node.inputs;

      outputs = (import (outPath + "/flake.nix")).outputs (inputs // { self = flake; });

      flake =
        outputs
        // sourceInfo
        // {
          _type = "flake";
          inherit inputs outPath outputs sourceInfo;
        };
    in
    {
      inherit outPath sourceInfo;
      value = if node.isFlake then flake else sourceInfo // { inherit outPath sourceInfo; };
    }
  ) nodes;
in
flakes.${root}.value
