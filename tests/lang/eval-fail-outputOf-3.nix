# features dynamic-derivations
builtins.outputOf { } "out"
