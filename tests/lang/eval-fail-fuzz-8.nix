builtins.convertHash { hash = "sha256:zdmdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c7"; toHashFormat = "sri"; }
