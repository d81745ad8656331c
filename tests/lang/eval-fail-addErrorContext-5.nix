builtins.addErrorContext (throw "z") (throw "y")
