//! Web pages that would take a parser more time or memory than any page is worth.

/// Elements that may be open in each other. Browsers stop at as many.
const DEPTH: usize = 512;
/// Elements that a page may have, those counted that a parser makes again in every paragraph because they were not closed.
const ELEMENTS: usize = 200_000;
/// Attributes that a tag may have: a parser compares each with all others.
const ATTRIBUTES: usize = 1000;

/// What is too much about a page, if anything is.
pub(super) fn too_much(html: &str) -> Option<String> {
    let mut tags = Tags { rest: html };
    let mut open: Vec<String> = Vec::new();
    let (mut formatting, mut elements) = (0usize, 0usize);
    while let Some(tag) = tags.next() {
        let formats = FORMATTING.contains(&tag.name.as_str());
        if tag.attributes > ATTRIBUTES {
            return Some(format!("a tag has more than {ATTRIBUTES} attributes"));
        }
        if tag.closes {
            // The end of an element ends those in it, but for what a table holds.
            let parts =
                open.iter().rev().take_while(|name| **name == tag.name || !BARRIERS.contains(&name.as_str()));
            if let Some(inner) = parts.into_iter().position(|name| *name == tag.name) {
                open.truncate(open.len() - inner - 1);
            }
            formatting -= usize::from(formats && formatting > 0);
            continue;
        }
        elements += 1 + formatting;
        if CELLS.contains(&tag.name.as_str()) {
            // A cell or a row ends the one before it; outside of a table there is none.
            let Some(table) = open.iter().rposition(|name| name == "table") else { continue };
            open.truncate(table + 1);
        }
        if formats {
            formatting += 1;
        } else if !UNNESTED.contains(&tag.name.as_str()) {
            open.push(tag.name);
        }
        if open.len() + formatting > DEPTH {
            return Some(format!("tags are nested more than {DEPTH} deep"));
        }
        if elements > ELEMENTS {
            return Some(format!("it has more than {ELEMENTS} elements"));
        }
    }
    None
}

/// Elements that go on in the next paragraph if they are not closed.
const FORMATTING: [&str; 14] =
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];
/// Elements that have nothing in them, or that the next of their kind closes.
const UNNESTED: [&str; 33] = [
    "area", "base", "basefont", "bgsound", "body", "br", "col", "colgroup", "dd", "dt", "embed", "frame",
    "head", "hr", "html", "img", "input", "keygen", "li", "link", "meta", "option", "p", "param", "path",
    "rp", "rt", "source", "tbody", "thead", "track", "tr", "wbr",
];
/// Elements of a table that have others in them.
const CELLS: [&str; 3] = ["td", "th", "caption"];
/// Elements that the ends of elements around them do not end.
const BARRIERS: [&str; 9] =
    ["table", "td", "th", "caption", "template", "object", "marquee", "applet", "svg"];
/// Elements with no tags in them.
const RAW: [&str; 9] =
    ["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "plaintext"];

struct Tag {
    name: String,
    closes: bool,
    attributes: usize,
}

/// The tags of a page, comments and scripts left out.
struct Tags<'a> {
    rest: &'a str,
}

impl Tags<'_> {
    fn next(&mut self) -> Option<Tag> {
        loop {
            let (_, rest) = self.rest.split_once('<')?;
            self.rest = rest;
            if let Some(comment) = rest.strip_prefix("!--") {
                let empty = comment.strip_prefix('>').or_else(|| comment.strip_prefix("->"));
                self.rest = empty.or_else(|| Some(comment.split_once("-->")?.1)).unwrap_or_default();
                continue;
            }
            let closes = rest.starts_with('/');
            let rest = rest.strip_prefix('/').unwrap_or(rest);
            if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            let end =
                rest.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').unwrap_or(rest.len());
            let name = rest[..end].to_ascii_lowercase();
            let (attributes, end) = attributes(&rest[end..], end);
            self.rest = &rest[end..];
            if !closes && RAW.contains(&name.as_str()) {
                self.rest = after_raw(self.rest, &name);
                continue;
            }
            return Some(Tag { name, closes, attributes });
        }
    }
}

/// Attributes up to the end of a tag, and where that is; `from` is where `rest` is.
fn attributes(rest: &str, from: usize) -> (usize, usize) {
    let (mut count, mut quote, mut before) = (0, None, b' ');
    for (at, byte) in rest.bytes().enumerate() {
        match quote {
            Some(mark) if byte == mark => quote = None,
            Some(_) => {}
            None if byte == b'>' => return (count, from + at + 1),
            None if matches!(byte, b'"' | b'\'') && before == b'=' => quote = Some(byte),
            None if before.is_ascii_whitespace() && !byte.is_ascii_whitespace() && byte != b'=' => count += 1,
            None => {}
        }
        // Space may stand around the sign: ` a = "b"`.
        if quote.is_some() || !byte.is_ascii_whitespace() || before != b'=' {
            before = byte;
        }
    }
    (count, from + rest.len())
}

/// What follows the text of an element that has no tags.
fn after_raw<'a>(rest: &'a str, name: &str) -> &'a str {
    let mut at = 0;
    while let Some(found) = rest[at..].find("</") {
        at += found;
        let end = rest.get(at + 2..at + 2 + name.len());
        if end.is_some_and(|end| end.eq_ignore_ascii_case(name)) {
            return &rest[at..];
        }
        at += 2;
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_as_they_are_have_nothing_too_much() {
        for page in [
            "<ul>".to_owned() + &"<li>One <br>two<p>three".repeat(5000),
            "<table>".to_owned() + &"<tr><td><div>One<td>two".repeat(5000),
            "<div><span>One</div>".repeat(5000),
            "<p><b>One</b> <i class='a > b'>two</i> <img alt=\"</div>\"></p>".repeat(5000),
            "<script>if (a<b) document.write('<div><div>')</script><!-- <div><div> -->".repeat(5000),
            "<p>a <3 b</p>".repeat(1000),
        ] {
            assert_eq!(too_much(&page), None, "{}", &page[..50]);
        }
    }

    #[test]
    fn what_a_parser_would_not_survive_is_found() {
        for (page, what) in [
            ("<div>".repeat(1_000_000), "nested"),
            ("<div><table><tr><td></div>".repeat(1000), "nested"),
            ((0..1000).map(|i| format!("<p><b id={i}>")).collect(), "elements"),
            ("<b>".repeat(500) + &"<p>x".repeat(10_000), "elements"),
            (format!("<p {}>", "a ".repeat(2000)), "attributes"),
            ("<!--><div>".repeat(1000), "nested"),
        ] {
            assert!(too_much(&page).unwrap_or_default().contains(what), "{}", &page[..50]);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_page_is_looked_through(page in "(<|>|/|!--|-->|=|\"|'| |a|div|script|é){0,60}") {
            too_much(&page);
        }
    }
}
