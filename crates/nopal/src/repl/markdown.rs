//! Documentation for people: the Markdown that doc comments are written in, laid out for a terminal as Nix does it (through
//! lowdown's terminal writer). Where the two read Markdown differently (is `a_b_c` emphasis?), `CommonMark` is followed.

use crate::env_vars;
use pulldown_cmark::{Alignment, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd};
use std::io::IsTerminal as _;
use unicode_width::UnicodeWidthStr as _;

/// Columns of a line where the width of the terminal is not known, and the fewest that are used.
const MIN_COLUMNS: usize = 60;
/// The most that are used.
const MAX_COLUMNS: usize = 80;
/// Columns that stay free at the right.
const MARGIN: usize = 5;

/// What begins the lines of code and quotations.
const BAR: &str = "  │ ";

/// How text looks: a parameter of the escape sequence that selects it.
type Style = &'static str;
const CODE: Style = "1;94";
const STRONG: Style = "1";
const EMPHASIS: Style = "3";
const TITLE: Style = "1;91";
const HEADING: Style = "1;36";
const LABEL: Style = "1;93";
const ADDRESS: Style = "4;32";
const MARK: Style = "93";
const FAINT: Style = "37";

/// How text is laid out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    columns: usize,
    colour: bool,
}

impl Look {
    /// What fits the terminal, if there is one.
    pub(super) fn of_terminal() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let dumb = env_vars::TERM.text().is_none_or(|term| term == "dumb");
        let width = if terminal { crate::ui::width() } else { 0 };
        Self {
            columns: width.saturating_sub(MARGIN).clamp(MIN_COLUMNS, MAX_COLUMNS),
            colour: terminal && !dumb && env_vars::NO_COLOR.get().is_none(),
        }
    }

    fn paint(self, text: &str, style: &str) -> String {
        if self.colour && !style.is_empty() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Lays out a document; every block, the last one included, is followed by an empty line.
pub(super) fn render(source: &str, look: Look) -> String {
    let mut writer = Writer { look, ..Writer::default() };
    for event in Parser::new_ext(source, Options::ENABLE_TABLES) {
        writer.event(event);
    }
    writer.finish()
}

/// Some text without line ends, and the styles it is shown in, divided by semicolons.
type Run = (String, String);

/// What a block lies in, and what that puts before its lines.
enum Around {
    Quote,
    /// An item of a list, with the mark that stands before its first line.
    Item(Option<String>),
}

/// A list that is being written.
struct List {
    /// Number of the next item, if they have numbers.
    number: Option<u64>,
    /// Whether there are empty lines between its items.
    loose: bool,
}

#[derive(Default)]
struct Writer {
    look: Look,
    out: String,
    around: Vec<Around>,
    lists: Vec<List>,
    /// Whether an empty line is due before the next block.
    gap: bool,
    /// The words of a paragraph, where nothing is a line end.
    words: Vec<Option<Vec<Run>>>,
    /// Whether a word has ended, so that what follows is a new one.
    apart: bool,
    styles: Vec<Style>,
    /// The address of the link that is open, if its text is another one.
    address: Option<String>,
    /// The code block that is open.
    code: Option<String>,
    alignments: Vec<Alignment>,
    rows: Vec<Vec<String>>,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match (event, &mut self.code) {
            (Event::Start(tag), _) => self.start(tag),
            (Event::End(tag), _) => self.end(tag),
            (Event::Text(text), Some(code)) => code.push_str(&text),
            (Event::Code(text), _) => self.styled(&text, CODE),
            (Event::SoftBreak, _) => self.apart = true,
            (Event::HardBreak, _) => self.words.push(None),
            (Event::Rule, _) => {
                let rule = self.look.paint(&"─".repeat(self.look.columns), FAINT);
                self.block(&[rule]);
            }
            (Event::Text(text) | Event::Html(text) | Event::InlineHtml(text), _) => self.text(&text),
            // needs options that are not set
            (
                Event::InlineMath(_) | Event::DisplayMath(_) | Event::FootnoteReference(_) | Event::TaskListMarker(_),
                _,
            ) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            // the items of a list without empty lines have none
            Tag::Paragraph => {
                if let (Some(Around::Item(_)), Some(list)) = (self.around.last(), self.lists.last_mut()) {
                    list.loose = true;
                }
            }
            Tag::Heading { level: HeadingLevel::H1, .. } => self.styles.push(TITLE),
            Tag::Heading { level, .. } => {
                self.styles.push(HEADING);
                self.text(&"#".repeat(level as usize));
                self.apart = true;
            }
            Tag::BlockQuote(_) => self.enter(Around::Quote),
            Tag::CodeBlock(_) => {
                self.paragraph();
                self.code = Some(String::new());
            }
            Tag::List(number) => {
                self.paragraph();
                self.lists.push(List { number, loose: false });
            }
            Tag::Item => {
                let number = self.lists.last_mut().and_then(|list| list.number.as_mut());
                let mark = number.map_or_else(
                    || "  · ".to_owned(),
                    |number| {
                        *number += 1;
                        format!("{:>2}. ", *number - 1)
                    },
                );
                self.enter(Around::Item(Some(mark)));
            }
            Tag::Table(alignments) => self.alignments = alignments,
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            Tag::Emphasis => self.styles.push(EMPHASIS),
            Tag::Strong => self.styles.push(STRONG),
            Tag::Link { link_type, dest_url, .. } => {
                let is_address = matches!(link_type, LinkType::Autolink | LinkType::Email);
                self.styles.push(if is_address { ADDRESS } else { LABEL });
                self.address = (!is_address).then(|| dest_url.into_string());
            }
            Tag::Image { .. } => {
                self.styled("[🖻 ", FAINT);
                self.styles.push(LABEL);
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.paragraph(),
            TagEnd::Heading(_) => {
                self.paragraph();
                self.styles.pop();
            }
            TagEnd::BlockQuote(_) => self.leave(),
            TagEnd::Item => {
                self.paragraph();
                if let Some(Around::Item(Some(_))) = self.around.last() {
                    self.line("");
                }
                self.leave();
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                let look = self.look;
                let lines = code.lines().map(|line| look.paint(BAR, CODE) + &look.paint(line, STRONG));
                self.block(&lines.collect::<Vec<_>>());
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.gap = self.is_loose();
            }
            TagEnd::TableCell => {
                let cell = self.lines(usize::MAX).concat();
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell);
                }
            }
            TagEnd::Table => self.table(),
            TagEnd::Emphasis | TagEnd::Strong => _ = self.styles.pop(),
            TagEnd::Link => {
                self.styles.pop();
                if let Some(address) = self.address.take() {
                    self.apart = true;
                    self.styled(&address, ADDRESS);
                }
            }
            TagEnd::Image => {
                self.styles.pop();
                self.styled("]", FAINT);
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        let style = self.styles.join(";");
        for (number, part) in text.split(char::is_whitespace).enumerate() {
            self.apart |= number > 0;
            if part.is_empty() {
                continue;
            }
            let run = (part.to_owned(), style.clone());
            match self.words.last_mut() {
                Some(Some(word)) if !self.apart => word.push(run),
                _ => self.words.push(Some(vec![run])),
            }
            self.apart = false;
        }
    }

    fn styled(&mut self, text: &str, style: Style) {
        self.styles.push(style);
        self.text(text);
        self.styles.pop();
    }

    /// Ends a paragraph, if one has begun.
    fn paragraph(&mut self) {
        let free = self.look.columns.saturating_sub(BAR.width() * self.around.len() + 1);
        let lines = self.lines(free);
        self.block(&lines);
    }

    /// The words that have come together, in lines that are no longer than `columns`, if the words are not.
    fn lines(&mut self, columns: usize) -> Vec<String> {
        let mut lines: Vec<Vec<Run>> = Vec::new();
        let mut column = None;
        for word in self.words.drain(..) {
            let Some(word) = word else {
                column = None;
                continue;
            };
            let width: usize = word.iter().map(|(text, _)| text.width()).sum();
            match (column.filter(|column| column + 1 + width <= columns), lines.last_mut()) {
                (Some(before), Some(line)) => {
                    let same = line.last().zip(word.first()).filter(|(last, first)| last.1 == first.1);
                    line.push((" ".to_owned(), same.map_or_else(String::new, |(_, first)| first.1.clone())));
                    line.extend(word);
                    column = Some(before + 1 + width);
                }
                _ => {
                    lines.push(word);
                    column = Some(width);
                }
            }
        }
        let look = self.look;
        let painted = |line: &Vec<Run>| {
            let spans = line.chunk_by(|one, other| one.1 == other.1);
            spans
                .map(|span| look.paint(&span.iter().map(|run| run.0.as_str()).collect::<String>(), &span[0].1))
                .collect()
        };
        lines.iter().map(painted).collect()
    }

    /// Whether blocks have empty lines between them here.
    fn is_loose(&self) -> bool {
        self.lists.last().is_none_or(|list| list.loose)
    }

    fn enter(&mut self, around: Around) {
        self.paragraph();
        self.fill_gap();
        self.around.push(around);
    }

    fn leave(&mut self) {
        self.around.pop();
        self.gap = self.is_loose();
    }

    fn block(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.fill_gap();
            lines.iter().for_each(|line| self.line(line));
            self.gap = self.is_loose();
        }
    }

    fn fill_gap(&mut self) {
        if std::mem::take(&mut self.gap) {
            self.line("");
        }
    }

    fn line(&mut self, line: &str) {
        for around in &mut self.around {
            let before = match around {
                Around::Quote => self.look.paint(BAR, MARK),
                Around::Item(mark) => {
                    mark.take().map_or_else(|| "    ".to_owned(), |mark| self.look.paint(&mark, MARK))
                }
            };
            self.out.push_str(&before);
        }
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn table(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| visible_width(cell)).max();
        let widths: Vec<usize> = (0..self.alignments.len()).map(|column| width(column).unwrap_or(0)).collect();
        let bar = format!(" {} ", self.look.paint("│", MARK));
        let line = |row: &Vec<String>| {
            let columns = row.iter().zip(&widths).zip(&self.alignments);
            columns.map(|((cell, width), alignment)| aligned(cell, *width, *alignment)).collect::<Vec<_>>().join(&bar)
        };
        let mut lines: Vec<String> = rows.iter().map(line).collect();
        let rule = widths.iter().enumerate().map(|(column, width)| "─".repeat(width + 1 + usize::from(column > 0)));
        lines.insert(1.min(lines.len()), self.look.paint(&rule.collect::<Vec<_>>().join("┼"), MARK));
        self.block(&lines);
    }

    fn finish(mut self) -> String {
        self.paragraph();
        self.out.push('\n');
        self.out
    }
}

/// Text that takes `width` columns, at the side where it belongs.
fn aligned(text: &str, width: usize, alignment: Alignment) -> String {
    let free = width.saturating_sub(visible_width(text));
    let before = match alignment {
        Alignment::None | Alignment::Left => 0,
        Alignment::Center => free / 2,
        Alignment::Right => free,
    };
    [" ".repeat(before).as_str(), text, " ".repeat(free - before).as_str()].concat()
}

/// How many columns text takes, without the escape sequences in it.
fn visible_width(text: &str) -> usize {
    let parts = text.split("\x1b[").enumerate();
    parts
        .map(|(number, part)| {
            if number == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) }.width()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { columns: 30, colour: false };

    #[test]
    fn paragraphs_are_filled_and_breaks_kept() {
        let source =
            "Function `f`\\\n  … defined at x.nix:1:1\n\nA *long* text that\nis to be **broken** into lines.\n";
        let shown = "Function f\n… defined at x.nix:1:1\n\nA long text that is to be\nbroken into lines.\n\n";
        assert_eq!(render(source, PLAIN), shown);
        assert_eq!(render("a b", Look { columns: 3, colour: false }), "a\nb\n\n");
    }

    #[test]
    fn code_is_not_touched() {
        let source = "# Example\n\n```nix\nmap  (x: *x*)\n\n1\n```\n\n    a *b*\n\n2 * 3 * 4 &lt; `` ` ``";
        let shown = "Example\n\n  │ map  (x: *x*)\n  │ \n  │ 1\n\n  │ a *b*\n\n2 * 3 * 4 < `\n\n";
        assert_eq!(render(source, PLAIN), shown);
    }

    #[test]
    fn lists_are_close_or_loose_as_they_were() {
        let close = "- one `c`\n- two\n  more and so on until the end\n  - deep\n-\n\n## Next\n";
        let shown = "  · one c\n  · two more and so on until\n    the end\n      · deep\n  · \n\n## Next\n\n";
        assert_eq!(render(close, PLAIN), shown);
        let loose = "9. one\n\n   > quoted\n   >\n   > twice\n10. two\n";
        let shown = " 9. one\n    \n      │ quoted\n      │ \n      │ twice\n\n10. two\n\n";
        assert_eq!(render(loose, PLAIN), shown);
    }

    #[test]
    fn tables_are_aligned() {
        let source = "| a | right |\n|---|------:|\n| `bbb` | x |\n";
        assert_eq!(render(source, PLAIN), "a   │ right\n────┼───────\nbbb │     x\n\n");
    }

    #[test]
    fn links_show_where_they_lead() {
        let source = "[label](http://x.y), <http://z>\n\n![alt](x.png)\n\n---\n";
        let rule = "─".repeat(30);
        assert_eq!(render(source, PLAIN), format!("label http://x.y, http://z\n\n[🖻 alt]\n\n{rule}\n\n"));
    }

    #[test]
    fn colours_take_no_room_and_go_on_between_words() {
        let look = Look { columns: 9, colour: true };
        assert_eq!(render("aa `bb` cc", look), "aa \x1b[1;94mbb\x1b[0m cc\n\n");
        let shown = "\x1b[1ma b\x1b[0m\x1b[1;3mc\x1b[0m d\n\n";
        assert_eq!(render("**a b*c*** d", look), shown);
    }
}
