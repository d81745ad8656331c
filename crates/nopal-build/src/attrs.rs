//! `.attrs.json` and `.attrs.sh`: structured attributes as a builder finds them, byte for byte as Nix writes them.

use std::collections::BTreeMap;

use nopal_format::json::Json;

/// The name of the variable in a derivation that holds structured attributes.
pub(crate) const STRUCTURED: &[u8] = b"__json";

/// Shell declarations for those attributes that a shell can hold: scalars, lists of scalars, sets of scalars.
pub(crate) fn shell_declarations(attributes: &BTreeMap<String, Json>) -> String {
    let mut shell = String::new();
    for (name, value) in attributes {
        if !is_shell_name(name) {
            continue;
        }
        if let Some(scalar) = scalar(value) {
            shell += &format!("declare {name}={scalar}\n");
            continue;
        }
        match value {
            Json::Array(items) => {
                let items: Option<String> = items.iter().map(|item| scalar(item).map(|text| text + " ")).collect();
                if let Some(items) = items {
                    shell += &format!("declare -a {name}=({items})\n");
                }
            }
            Json::Object(entries) => {
                let entries: Option<String> = entries
                    .iter()
                    .map(|(key, value)| scalar(value).map(|text| format!("[{}]={text} ", quote(key))))
                    .collect();
                if let Some(entries) = entries {
                    shell += &format!("declare -A {name}=({entries})\n");
                }
            }
            _ => {}
        }
    }
    shell
}

fn is_shell_name(name: &str) -> bool {
    let mut characters = name.bytes();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == b'_')
}

/// A value that is one word.
fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(quote(text)),
        Json::Number(text) => whole_number(text).map(|number| number.to_string()),
        Json::Null => Some("''".to_owned()),
        Json::Bool(true) => Some("1".to_owned()),
        Json::Bool(false) => Some(String::new()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

/// A number without fraction, cut to 32 bits. Nix looks for a fraction in single precision; so do we.
fn whole_number(text: &str) -> Option<i32> {
    let float: f64 = text.parse().ok()?;
    let single = float as f32;
    if single.ceil() != single {
        return None;
    }
    Some(match (text.parse::<i64>(), text.parse::<u64>()) {
        (Ok(number), _) => number as i32,
        (_, Ok(number)) => number as i32,
        // what processors answer that have no answer, and so what Nix prints
        _ if !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&float) => i32::MIN,
        _ => float as i32,
    })
}

/// One word of the shell, always in single quotes.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_nix() {
        let cases = [
            ("1", Some(1)),
            ("-3", Some(-3)),
            ("2.0", Some(2)),
            ("2.5", None),
            ("4294967297", Some(1)),
            ("1e+10", Some(i32::MIN)),
        ];
        for (text, expected) in cases {
            assert_eq!(whole_number(text), expected, "{text}");
        }
    }

    #[test]
    fn only_what_a_shell_can_hold() {
        let json = r#"{"a":"it's","b":[1,"x y",true],"c":{"k":null},"d":[[1]],"e-f":1,"g":false,"h":1.5,"i":[]}"#;
        let Ok(Json::Object(attributes)) = Json::parse(json) else { panic!("a good object") };
        let expected = "declare a='it'\\''s'\ndeclare -a b=(1 'x y' 1 )\ndeclare -A c=(['k']='' )\ndeclare g=\n\
                        declare -a i=()\n";
        assert_eq!(shell_declarations(&attributes), expected);
    }
}
