use super::{Span, trimmed};

/// Runs of lines that read on: ended by a blank line, or by a line that stopped although the next word had room.
pub(super) fn paragraphs(text: &str) -> Vec<Span> {
    let mut paragraphs = Vec::new();
    let mut block: Vec<Span> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive(['\n', '\u{2029}']) {
        let span = Span::new(start, start + line.len());
        start = span.end;
        match trimmed(text, span) {
            Some(_) => block.push(span),
            None => unwrap(text, &std::mem::take(&mut block), &mut paragraphs),
        }
    }
    unwrap(text, &block, &mut paragraphs);
    paragraphs
}

/// Joins the lines of a block that read on: into a line that begins with a small letter, and, where two lines or more
/// stopped because the next word had no room (the longest line being the room there was), over every such stop.
fn unwrap(text: &str, lines: &[Span], paragraphs: &mut Vec<Span>) {
    let words = |span: Span| span.of(text).unwrap_or_default().trim();
    let width = |line: &str| line.chars().count();
    let room = lines.iter().map(|&line| width(words(line))).max().unwrap_or(0);
    let full = |pair: &[Span]| {
        let next = words(pair[1]).split_whitespace().next().unwrap_or_default();
        room <= WIDEST && width(words(pair[0])) + 1 + width(next) > room
    };
    let wrapped = lines.windows(2).filter(|pair| full(pair)).count() > 1;
    let mut current: Option<Span> = None;
    for (i, &line) in lines.iter().enumerate() {
        let next = words(line);
        let joins = i > 0
            && item(next) == 0
            && (next.starts_with(char::is_lowercase) || wrapped && full(&lines[i - 1..=i]));
        current = match current {
            Some(so_far) if joins => Some(Span::new(so_far.start, line.end)),
            so_far => {
                paragraphs.extend(so_far);
                Some(line)
            }
        };
    }
    paragraphs.extend(current);
}

/// No text is wrapped wider than this; longer lines are paragraphs.
const WIDEST: usize = 120;

/// Bytes of the mark that begins a point of a list ("- ", "• ", "2. ", "(a) "); 0 if the line begins none.
pub(super) fn item(line: &str) -> usize {
    let Some((mark, _)) = line.split_once(char::is_whitespace) else { return 0 };
    let name = mark.trim_start_matches('(').trim_end_matches([')', '.']);
    let numbered = name.len() < mark.len()
        && (name.len() < 3 && name.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty()
            || name.len() == 1 && name.bytes().all(|b| b.is_ascii_lowercase()));
    if numbered || matches!(mark, "-" | "*" | "–" | "•" | "▪" | "◦" | "‣" | "·") {
        mark.len()
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<&str> {
        paragraphs(text).into_iter().map(|span| span.of(text).unwrap().trim()).collect()
    }

    #[test]
    fn a_headline_and_wrapped_lines_are_told_apart() {
        let text = "Ministers meet in Lima\r\nThe ministers of three states met on Friday to\r\nspeak of trade. They\r\nwill meet again.\r\n\r\nEnd";
        let found = lines(text);
        assert_eq!((found.len(), found[0], found[2]), (3, "Ministers meet in Lima", "End"));
        assert!(found[1].starts_with("The ministers") && found[1].ends_with("will meet again."));
    }

    #[test]
    fn paragraphs_of_a_line_each_stay_apart() {
        let text = "A long first paragraph that goes on and on without a full stop\nShort one\nAnother";
        assert_eq!(lines(text).len(), 3);
    }

    #[test]
    fn points_of_a_list_stay_apart() {
        assert_eq!(
            lines("He named three parts:\n- close the port\n- open the road\n2. pay"),
            ["He named three parts:", "- close the port", "- open the road", "2. pay"]
        );
        assert_eq!((item("(a) one"), item("12. one"), item("No. one"), item("–")), (3, 3, 0, 0));
    }
}
