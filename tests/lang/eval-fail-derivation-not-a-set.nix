(derivation [ ]).outPath
