# Makes a derivation as `derivation` returns it from what a .drv file in the store says.
drv@{ drvPath, outputs, name, ... }:

let
  shared = builtins.listToAttrs byOutput // {
    all = map (output: output.value) byOutput;
    inherit drvPath name;
    type = "derivation";
  };

  byOutput = map (outputName: {
    name = outputName;
    value = shared // {
      outPath = builtins.getAttr outputName drv;
      inherit outputName;
    };
  }) outputs;
in
(builtins.head byOutput).value
