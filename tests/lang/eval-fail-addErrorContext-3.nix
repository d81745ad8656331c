builtins.addErrorContext "ctx" (throw "y")
