let
  set = {
    inner = "no set";
  };
in
set.inner.missing or (throw "the default is evaluated where the attribute was looked for")
