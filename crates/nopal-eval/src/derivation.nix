# The function `derivation`, which is written in Nix.
#
# Frames of traces show lines of this text with an excerpt, and a name that is
# in it comes before those of all files. So its lines and names are those of
# Nix's own wrapper: the line that sets `outPath` is line 50.

/**
  Describe a build.

  # Inputs

  One set. These attributes are read here or by `derivationStrict`; all others
  become variables of the builder's environment:

  - `name`, `system`, `builder`: required
  - `args`: arguments of the builder
  - `outputs`: names of the outputs, `[ "out" ]` unless said otherwise

  # Output

  A set for the first output: the attributes given, and `outPath`, `drvPath`,
  `type`, `outputName`, `all`, `drvAttrs`, and one such set for each output.

  Nothing is computed before a path is asked for. So a set of many packages
  costs little until one of them is used.



*/
drvAttrs@{
  outputs ? [ "out" ],
  ...
}:

let

  strict = derivationStrict drvAttrs;

  commonAttrs =
    drvAttrs
    // (builtins.listToAttrs outputsList)
    // {
      all = map (x: x.value) outputsList;
      inherit drvAttrs;
    };

  outputToAttrListElement = outputName: {
    name = outputName;
    value = commonAttrs // {
      outPath = builtins.getAttr outputName strict;
      drvPath = strict.drvPath;
      type = "derivation";
      inherit outputName;
    };
  };

  outputsList = map outputToAttrListElement outputs;

in
(builtins.head outputsList).value
