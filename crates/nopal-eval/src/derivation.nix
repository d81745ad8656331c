# The function `derivation`: a lazy set around what `derivationStrict` computes, one such set per output.
drvAttrs@{ outputs ? [ "out" ], ... }:

let
  computed = derivationStrict drvAttrs;

  shared = drvAttrs // builtins.listToAttrs byOutput // {
    all = map (output: output.value) byOutput;
    inherit drvAttrs;
  };

  byOutput = map (outputName: {
    name = outputName;
    value = shared // {
      outPath = builtins.getAttr outputName computed;
      drvPath = computed.drvPath;
      type = "derivation";
      inherit outputName;
    };
  }) outputs;
in
(builtins.head byOutput).value
