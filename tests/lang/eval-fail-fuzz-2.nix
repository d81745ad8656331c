builtins.fromJSON (derivation { name = "o"; builder = "b"; system = "s"; }).drvPath
