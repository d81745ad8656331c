# Frames of the wrapper show its lines.
builtins.addErrorContext "in the outputs" (
  builtins.deepSeq (derivation {
    name = "o";
    builder = "b";
    system = "s";
    outputs = [ 1 ];
  }).outPath null
)
