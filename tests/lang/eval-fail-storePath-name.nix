builtins.storePath "/nix/store/r31af898bxgpzj362hf2disz2cy12pip-o<a/b"
