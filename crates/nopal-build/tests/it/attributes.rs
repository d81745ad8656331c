//! The environment, files made of attributes, and closures written down.

use std::collections::BTreeMap;

use nopal_build::BuildConfig;
use nopal_format::derivation::OutputSpec;
use nopal_format::store_path::hash_placeholder;
use nopal_format::{ContentAddress, ContentAddressMethod, Hash, HashAlgorithm};

use crate::fixture::Site;

#[test]
fn the_environment_is_that_of_nix() {
    let Some(site) = Site::new() else { return };
    let config = BuildConfig { cores: 3, ..BuildConfig::default() };
    let shell = site.store.print(&site.shell);
    let mut recipe = site.recipe("env", "").env("greeting", "two words").env("passAsFile", "big").env("big", "a\nb");
    recipe.derivation.args =
        vec!["-c".into(), format!("{shell}/bin/env | {shell}/bin/sort > $out; cat < $bigPath >> $out").into()];
    recipe.derivation.args[1] =
        format!("{shell}/bin/env | {shell}/bin/sort > $out; {shell}/bin/cat $bigPath >> $out").into();
    let drv = site.add(recipe);
    let realised = site.realise_with(&config, &drv).unwrap();
    let out = &realised.outputs["out"];
    let text = std::fs::read_to_string(site.store.physical_path(out)).unwrap();
    // busybox's shell adds SHLVL and OLDPWD of its own
    let text: String =
        text.lines().filter(|line| !line.starts_with("SHLVL=")).map(|line| format!("{line}\n")).collect();
    let file = format!(".attr-{}", nopal_format::hash::sha256(b"big").nix32());
    let expected = format!(
        "HOME=/homeless-shelter\nNIX_BUILD_CORES=3\nNIX_BUILD_TOP=/build\nNIX_LOG_FD=2\nNIX_STORE=/nix/store\n\
         PATH=/path-not-set\nPWD=/build\nTEMP=/build\nTEMPDIR=/build\nTERM=xterm-256color\nTMP=/build\nTMPDIR=/build\n\
         bigPath=/build/{file}\ngreeting=two words\nname=env\nout={}\npassAsFile=big\na\nb\n",
        site.store.print(out)
    );
    assert_eq!(text, expected);
}

#[test]
fn structured_attributes() {
    let Some(site) = Site::new() else { return };
    let json =
        r#"{"b":true,"f":1.5,"list":["x y",2],"map":{"k":"it's"},"nested":{"a":[1]},"name":"sa","n":null,"neg":-7}"#;
    let shell = site.store.print(&site.shell);
    let script = "eval \"$(grep outputs= $NIX_ATTRS_SH_FILE | sed 's/^declare -A outputs=(\\[.out.\\]=\\(.*\\) )$/out=\\1/')\"\n\
                  { echo $NIX_ATTRS_SH_FILE $NIX_ATTRS_JSON_FILE; cat $NIX_ATTRS_SH_FILE $NIX_ATTRS_JSON_FILE; echo; env | grep -c ^name= || true; } > $out";
    let recipe = site.recipe("sa", script).structured(json);
    let drv = site.add(recipe);
    let realised = site.realise(&drv).unwrap_or_else(|error| panic!("{error}"));
    let out = site.store.print(&realised.outputs["out"]);
    let text = std::fs::read_to_string(site.store.physical_path(&realised.outputs["out"])).unwrap();
    let expected = format!(
        "/build/.attrs.sh /build/.attrs.json\n\
         declare b=1\ndeclare -a list=('x y' 2 )\ndeclare -A map=(['k']='it'\\''s' )\ndeclare n=''\ndeclare name='sa'\n\
         declare neg=-7\ndeclare -A outputs=(['out']='{out}' )\n\
         {{\"b\":true,\"f\":1.5,\"list\":[\"x y\",2],\"map\":{{\"k\":\"it's\"}},\"n\":null,\"name\":\"sa\",\"neg\":-7,\
         \"nested\":{{\"a\":[1]}},\"outputs\":{{\"out\":\"{out}\"}}}}\n0\n"
    );
    assert_eq!(text, expected, "{shell}");
}

#[test]
fn placeholders_become_paths() {
    let Some(site) = Site::new() else { return };
    let placeholder = hash_placeholder("out");
    let recipe = site.recipe("placeholder", "echo $p > $out; [ \"$p\" = \"$out\" ]").env("p", &placeholder);
    let drv = site.add(recipe);
    let realised = site.realise(&drv).unwrap_or_else(|error| panic!("{error}"));
    let path = &realised.outputs["out"];
    let text = std::fs::read_to_string(site.store.physical_path(path)).unwrap();
    assert_eq!(text.trim_end(), site.store.print(path));
    let info = site.store.path_info(path).unwrap();
    assert!(info.references.contains(path), "a self reference is a reference");
}

#[test]
fn closures_are_written_down() {
    let Some(site) = Site::new() else { return };
    let shell = site.store.print(&site.shell);
    let low = site.add(site.recipe("low", "echo hello > $out"));
    site.realise(&low).unwrap();
    let low_out = site.realise(&low).unwrap().outputs["out"].clone();
    let low_text = site.store.print(&low_out);
    let mid = site.add(site.recipe("mid", &format!("echo {low_text} {shell} > $out")).input(&low, &["out"]));
    let mid_out = site.realise(&mid).unwrap().outputs["out"].clone();
    let mid_text = site.store.print(&mid_out);
    let recipe = site
        .recipe("graph", "cat graph > $out")
        .input(&mid, &["out"])
        .env("exportReferencesGraph", &format!("graph {mid_text}"));
    let mut records = BTreeMap::from([
        (low_text.clone(), format!("{low_text}\n\n0\n")),
        (mid_text.clone(), {
            let mut references = [low_text.clone(), shell.clone()];
            references.sort();
            format!("{mid_text}\n\n2\n{}\n{}\n", references[0], references[1])
        }),
        (shell.clone(), format!("{shell}\n\n0\n")),
    ]);
    let expected: String = std::mem::take(&mut records).into_values().collect();
    assert_eq!(site.build_text(recipe), expected);
    let (_, text) = site.fail(site.recipe("outside", "").env("exportReferencesGraph", &format!("graph {mid_text}")));
    assert!(text.contains("is not in the input closure"), "{text}");
    let (_, text) = site.fail(site.recipe("odd", "").env("exportReferencesGraph", "graph"));
    assert!(text.contains("odd number of tokens in 'exportReferencesGraph': 'graph'"), "{text}");
    let (_, text) = site.fail(site.recipe("dots", "").env("exportReferencesGraph", &format!("../graph {shell}")));
    assert!(text.contains("invalid file name '../graph'"), "{text}");
}

#[test]
fn closures_in_structured_attributes() {
    let Some(site) = Site::new() else { return };
    let shell = site.store.print(&site.shell);
    let info = site.store.path_info(&site.shell).unwrap();
    let json = format!(r#"{{"exportReferencesGraph":{{"graph":["{shell}"]}},"name":"g"}}"#);
    let script = "out=$(sed 's/.*\"outputs\":{\"out\":\"\\([^\"]*\\)\".*/\\1/' .attrs.json); cat .attrs.json > $out";
    let text = site.build_text(site.recipe("g", script).structured(&json));
    let expected = format!(
        "\"graph\":[{{\"ca\":\"{}\",\"closureSize\":{size},\"narHash\":\"sha256:{}\",\"narSize\":{size},\"path\":\"{shell}\",\
         \"references\":[],\"valid\":true}}]",
        info.ca.unwrap(),
        info.nar_hash.nix32(),
        size = info.nar_size,
    );
    assert!(text.contains(&expected), "{text}\n{expected}");
}

#[test]
fn impure_variables_reach_fixed_outputs_only() {
    let Some(site) = Site::new() else { return };
    let config = BuildConfig {
        environment: [("http_proxy".into(), "http://proxy".into()), ("SECRET".into(), "s".into())].into(),
        ..BuildConfig::default()
    };
    let script = "printf '%s' \"$http_proxy:$SECRET:$NIX_OUTPUT_CHECKED\" > $out";
    let content = b"http://proxy::1";
    let hash = Hash::of(HashAlgorithm::Sha256, content);
    let ca = ContentAddress { method: ContentAddressMethod::Flat, hash };
    let fixed = site.recipe("impure", script).env("impureEnvVars", "http_proxy unset").spec(OutputSpec::Fixed(ca));
    site.realise_with(&config, &site.add(fixed)).unwrap_or_else(|error| panic!("{error}"));
    let pure = site.add(site.recipe("pure", script).env("impureEnvVars", "http_proxy unset"));
    let realised = site.realise_with(&config, &pure).unwrap();
    let text = std::fs::read(site.store.physical_path(&realised.outputs["out"])).unwrap();
    assert_eq!(text, b"::");
}
