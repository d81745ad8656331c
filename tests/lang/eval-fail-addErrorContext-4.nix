builtins.addErrorContext 1 (throw "y")
