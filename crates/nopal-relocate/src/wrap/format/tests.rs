use super::*;
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1..=255_u8, 0..6)
}

fn piece() -> impl Strategy<Value = Piece> {
    let leaf = prop_oneof![
        bytes().prop_map(Piece::Literal),
        (bytes(), any::<bool>()).prop_map(|(name, is_quoted)| Piece::Variable { name, is_quoted }),
        prop::sample::select(vec![Piece::Break, Piece::Root, Piece::Called, Piece::Name, Piece::Target]),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        (bytes(), any::<[bool; 3]>(), prop::collection::vec(inner, 0..4)).prop_map(|(name, bits, word)| {
            let [keeps_value, empty_is_unset, is_quoted] = bits;
            Piece::Choice(Choice { name, keeps_value, empty_is_unset, is_quoted, word: Text(word) })
        })
    })
}

fn text() -> impl Strategy<Value = Text> {
    prop::collection::vec(piece(), 0..4).prop_map(Text)
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop::sample::select(vec![JoinKind::Prefix, JoinKind::Suffix, JoinKind::Last]);
    prop_oneof![
        (bytes(), text()).prop_map(|(name, value)| Step::Set(name, value)),
        (bytes(), text()).prop_map(|(name, value)| Step::SetDefault(name, value)),
        bytes().prop_map(Step::Unset),
        text().prop_map(Step::ChangeDirectory),
        bytes().prop_map(Step::SkipIfThere),
        (any::<u16>(), text()).prop_map(|(number, folder)| Step::Hold(number, folder)),
        (any::<u16>(), text()).prop_map(|(number, file)| Step::Pass(number, file)),
        (bytes(), bytes(), text(), how).prop_map(|(name, separator, value, how)| Step::Join(Join {
            name,
            separator,
            value,
            how
        })),
    ]
}

fn launch() -> impl Strategy<Value = Launch> {
    let texts = (text(), text(), text(), text());
    (texts, any::<bool>(), prop::collection::vec(step(), 0..5), bytes()).prop_map(
        |((target, name, before, after), resolves_name, steps, record)| Launch {
            target,
            name,
            resolves_name,
            before,
            after,
            steps,
            record,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(launch in launch(), before in bytes()) {
        let data = launch.encode().unwrap();
        let file = [&before[..], &data].concat();
        prop_assert_eq!(find(&file), Some(&data[..]));
        prop_assert_eq!(Launch::decode(&data).unwrap(), launch);
    }

    #[test]
    fn what_is_damaged_is_refused_or_means_something(launch in launch(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut data = launch.encode().unwrap();
        let at = at.index(data.len());
        data[at] = byte;
        if let Ok(launch) = Launch::decode(&data) {
            prop_assert_eq!(Launch::decode(&launch.encode().unwrap()).unwrap(), launch);
        }
        data.truncate(at);
        prop_assert!(Launch::decode(&data).is_err());
    }

    #[test]
    fn any_text_is_read_or_left_to_a_shell(text in "[a$A{}:+'\"\\\\ -]{0,24}") {
        if let Ok(words) = Text::words(text.as_bytes()) {
            prop_assert_eq!(Text::words(&crate::wrap::record::source(&words)).unwrap(), words);
        }
    }
}

#[test]
fn zeros_are_refused() {
    let launch = Launch { target: Text::literal("a\0b"), ..Launch::default() };
    assert_eq!(launch.encode(), Err(FormatError::Zero));
}
