# The function `derivation`, which is written in Nix.
#
# Names and line numbers show in traces: frames from this text are printed with
# an excerpt, and Nix's own wrapper has these lines at these places. Keep all
# from line 37 on where they are and as they are.






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
  Nothing is computed before a path is asked for.
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
