//! Documentation for people: the Markdown that doc comments are written in, as text for a terminal. Knows paragraphs,
//! headings, lists, quotes, code in blocks and in lines, emphasis and links; anything else is shown as it is written.

use crate::env_vars;
use std::io::IsTerminal as _;

/// Columns of a line where the width of the terminal is not known, and the fewest that are used.
const MIN_COLUMNS: usize = 60;
/// Columns that stay free at the right.
const MARGIN: usize = 5;

const BOLD: &str = "\x1b[1m";
const UNDERLINED: &str = "\x1b[4m";
const END: &str = "\x1b[0m";

/// How text is laid out.
#[derive(Clone, Copy, Debug)]
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
            columns: width.saturating_sub(MARGIN).max(MIN_COLUMNS),
            colour: terminal && !dumb && env_vars::NO_COLOR.get().is_none(),
        }
    }
}

/// Lays out a document.
pub(super) fn render(source: &str, look: Look) -> String {
    let mut out = String::new();
    let mut paragraph = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if let Some(fence) = fence(trimmed) {
            flush(&mut out, &mut paragraph, "", look);
            for code in lines.by_ref().take_while(|line| !line.trim_start().starts_with(fence)) {
                code_line(&mut out, code);
            }
            out.push('\n');
        } else if line.starts_with("    ") && paragraph.is_empty() && !trimmed.is_empty() {
            code_line(&mut out, &line[4..]);
            if lines.peek().is_none_or(|next| !next.starts_with("    ")) {
                out.push('\n');
            }
        } else if trimmed.is_empty() {
            flush(&mut out, &mut paragraph, "", look);
        } else if let Some(heading) = heading(trimmed) {
            flush(&mut out, &mut paragraph, "", look);
            out.push_str(&inline(&format!("**{heading}**"), look).join(" "));
            out.push_str("\n\n");
        } else if let Some(item) = trimmed.strip_prefix("- ").or_else(|| trimmed.strip_prefix("* ")) {
            flush(&mut out, &mut paragraph, "", look);
            let mut item = item.to_owned();
            while let Some(more) =
                lines.next_if(|next| next.starts_with(' ') && !is_item(next) && !next.trim().is_empty())
            {
                item.push(' ');
                item.push_str(more.trim());
            }
            flush(&mut out, &mut item, "· ", look);
        } else {
            add_line(&mut paragraph, line);
        }
    }
    flush(&mut out, &mut paragraph, "", look);
    out
}

fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("- ") || line.starts_with("* ")
}

/// What a code block between fences ends with.
fn fence(line: &str) -> Option<&'static str> {
    ["```", "~~~"].into_iter().find(|fence| line.starts_with(fence))
}

fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    if (1..=6).contains(&level) { rest.strip_prefix(' ').map(str::trim) } else { None }
}

fn code_line(out: &mut String, line: &str) {
    out.push_str("  │ ");
    out.push_str(line);
    out.push('\n');
}

/// Adds a line to a paragraph; a line break that is meant is kept as one.
fn add_line(paragraph: &mut String, line: &str) {
    if !paragraph.is_empty() && !paragraph.ends_with('\n') {
        paragraph.push(' ');
    }
    match line.strip_suffix('\\').or_else(|| line.strip_suffix("  ")) {
        Some(line) => {
            paragraph.push_str(line.trim());
            paragraph.push('\n');
        }
        None => paragraph.push_str(line.trim()),
    }
}

/// Writes a paragraph, broken into lines, with `mark` before the first.
fn flush(out: &mut String, paragraph: &mut String, mark: &str, look: Look) {
    let text = std::mem::take(paragraph);
    if text.is_empty() {
        return;
    }
    let indent = mark.chars().count();
    out.push_str(mark);
    for (number, part) in text.lines().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let mut column = indent;
        for (number, word) in inline(part, look).iter().enumerate() {
            let width = visible_width(word);
            if number > 0 && column + 1 + width > look.columns {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            } else if number > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += width;
        }
    }
    out.push_str(if mark.is_empty() { "\n\n" } else { "\n" });
}

/// How many columns a word takes, without the escape sequences in it.
fn visible_width(word: &str) -> usize {
    let mut width = 0;
    let mut escaped = false;
    for c in word.chars() {
        match c {
            '\x1b' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {}
            _ => width += 1,
        }
    }
    width
}

/// The words of a line of Markdown, with what marks emphasis and code removed or turned into escape sequences.
fn inline(text: &str, look: Look) -> Vec<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let styled = [("`", BOLD), ("**", BOLD), ("*", UNDERLINED)].into_iter().find_map(|(mark, style)| {
            let inner = rest.strip_prefix(mark)?;
            let end = inner.find(mark).filter(|end| *end > 0)?;
            let (inside, after) = (&inner[..end], &inner[end + mark.len()..]);
            // a star between spaces is a star
            (mark == "`" || !inside.starts_with(' ')).then_some((inside, after, style))
        });
        if let Some((inside, after, style)) = styled {
            for (number, word) in inside.split(' ').enumerate() {
                if number > 0 {
                    out.push(' ');
                }
                if look.colour {
                    out.push_str(&format!("{style}{word}{END}"));
                } else {
                    out.push_str(word);
                }
            }
            rest = after;
            continue;
        }
        if let Some((label, after)) = link(rest) {
            out.push_str(label);
            rest = after;
            continue;
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out.split_whitespace().map(str::to_owned).collect()
}

/// `[label](target)`: its label, and what follows.
fn link(text: &str) -> Option<(&str, &str)> {
    let (label, after) = text.strip_prefix('[')?.split_once("](")?;
    let (_, after) = after.split_once(')')?;
    (!label.contains(']')).then_some((label, after))
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
    }

    #[test]
    fn code_is_not_touched() {
        let source = "# Example\n\n```nix\nmap  (x: *x*)\n```\n\n    a *b*\n\n- one `c`\n- two\n  more\n2 * 3 * 4";
        let shown = "Example\n\n  │ map  (x: *x*)\n\n  │ a *b*\n\n· one c\n· two more\n2 * 3 * 4\n\n";
        assert_eq!(render(source, PLAIN), shown);
    }

    #[test]
    fn colours_take_no_room() {
        let look = Look { columns: 8, colour: true };
        assert_eq!(render("aa `bb` cc", look), "aa \x1b[1mbb\x1b[0m\ncc\n\n".replace("\x1b[0m\ncc", "\x1b[0m cc"));
        assert_eq!(render("[label](target) aa", look), "label aa\n\n");
    }
}
