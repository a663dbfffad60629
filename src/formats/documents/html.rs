//! Web pages: the article, without what stands around it.

use super::bounded::size;
use super::encoding::{self, TextEncoding};
use super::hostile::too_much;
use super::peeked::Peeked;
use super::{BadRecord, Document, DocumentOptions, Documents, tell_of_guess};
use dom_smoothie::{Article, Config, Readability, ReadabilityError, TextMode};
use serde_json::{Map, Value};
use std::io::Read;

/// The article of a page: its headline, and paragraphs with blank lines between them.
pub(super) fn read(input: Peeked, name: String, options: DocumentOptions) -> Documents {
    Box::new(std::iter::once_with(move || {
        let html = html(input, &name, &options)?;
        let (text, published) = article(&html).map_err(|reason| BadRecord::whole(&name, reason))?;
        Ok(Document {
            id: Value::String(name),
            date: published.filter(|_| options.date_field.is_some()),
            text,
            segmentation: options.segmentation(),
            continues: false,
            fields: Map::new(),
        })
    }))
}

/// The page as text. Malformed bytes are replaced, as browsers do, and told.
fn html(mut input: Peeked, name: &str, options: &DocumentOptions) -> Result<String, BadRecord> {
    let limit = options.max_record_bytes;
    if input.fill(limit.saturating_add(1)).len() > limit {
        let reason = format!("the page is longer than {} (`--max-record-bytes`)", size(limit));
        return Err(BadRecord::whole(name, reason));
    }
    let mut page = Vec::new();
    if let Err(error) = input.into_reader().read_to_end(&mut page) {
        let line = page.iter().filter(|&&byte| byte == b'\n').count() + 1;
        return Err(BadRecord::at(name, line, error.to_string(), []));
    }
    let encoding = options.encoding.or_else(|| TextEncoding::of_mark(&page)).unwrap_or_else(|| {
        let declared = declared(&page).unwrap_or(TextEncoding::UTF_8);
        let guess = if declared == TextEncoding::UTF_8 { encoding::guess(&page, true) } else { None };
        guess.inspect(|&guess| tell_of_guess(name, guess)).unwrap_or(declared)
    });
    let (html, replaced) = encoding.decode(&page);
    if replaced > 0 {
        tracing::warn!("{name}: {replaced} malformed characters were replaced ({})", encoding.name());
    }
    Ok(html)
}

/// Where a page declares its encoding, if it does.
const DECLARATIONS: usize = 4 << 10;

/// The encoding that a page says it is in.
fn declared(page: &[u8]) -> Option<TextEncoding> {
    let start = String::from_utf8_lossy(&page[..page.len().min(DECLARATIONS)]).to_ascii_lowercase();
    let of = |tag: &str, attribute: &str| {
        let (tag, _) = tag.split_once('>')?;
        let (_, value) = tag.split_once(attribute)?;
        let value = value
            .trim_start()
            .strip_prefix('=')?
            .trim_start_matches(|c: char| c.is_whitespace() || "\"'".contains(c));
        let end = value.find(|c: char| c.is_whitespace() || "\"';/?".contains(c)).unwrap_or(value.len());
        value[..end].parse().ok()
    };
    let found = start.split("<meta").skip(1).find_map(|tag| of(tag, "charset"));
    let found: TextEncoding = found.or_else(|| of(start.trim_start().strip_prefix("<?xml")?, "encoding"))?;
    // A declaration that can be read in ASCII is not in UTF-16.
    Some(if found.name().starts_with("UTF-16") { TextEncoding::UTF_8 } else { found })
}

/// The text of the article in a page, its headline first, and when it was published.
fn article(html: &str) -> Result<(String, Option<String>), String> {
    if let Some(much) = too_much(html) {
        return Err(format!("the page is not read: {much}"));
    }
    let config = Config { text_mode: TextMode::Formatted, ..Config::default() };
    let mut page = Readability::new(html, None, Some(config)).map_err(|error| error.to_string())?;
    match page.parse() {
        Ok(Article { title, text_content, published_time, .. }) if !text_content.trim().is_empty() => {
            let text = text_content.trim();
            let title = title.trim();
            let text = if title.is_empty() || text.starts_with(title) {
                text.to_owned()
            } else {
                format!("{title}\n\n{text}")
            };
            Ok((text, published_time))
        }
        Ok(_) | Err(ReadabilityError::GrabFailed) => {
            page.doc.select("nav, header, footer, aside, form, script, style, noscript, template").remove();
            let text = page.doc.body().map(|body| body.formatted_text()).unwrap_or_default();
            if text.trim().is_empty() {
                Err("no article text found".into())
            } else {
                Ok((text.trim().to_owned(), None))
            }
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{BadRecord, Document, DocumentOptions, InputFormat, TextEncoding};
    use super::declared;

    const BODY: &str = "<nav><ul><li><a href='/'>Home</a><li><a href='/world'>World</a></ul></nav><article><h1>Talks end in Lima</h1><p>Ministers of Peru strongly condemned the attack, a spokesman said on Friday in Lima.</p><p>They met <b>on Friday</b>, and will meet again, the spokesman told reporters.<script>var x = 'no text';</script></p><ul><li>The port is closed.</li><li>The road is open.</li></ul></article><footer>All rights reserved, and no cookies.</footer>";

    fn page(head: &str) -> String {
        format!(
            "<!DOCTYPE html><html><head><title>Talks end in Lima</title>{head}</head><body>{BODY}</body></html>"
        )
    }

    fn only(content: &[u8]) -> Result<Document, BadRecord> {
        let mut documents = read(InputFormat::Html, content);
        assert_eq!(documents.len(), 1);
        documents.remove(0)
    }

    #[test]
    fn an_article_is_its_headline_and_its_paragraphs_without_what_stands_around_them() {
        let document = only(page("").as_bytes()).unwrap();
        assert_eq!(
            sentences(&document),
            [
                "Talks end in Lima",
                "Ministers of Peru strongly condemned the attack, a spokesman said on Friday in Lima.",
                "They met on Friday, and will meet again, the spokesman told reporters.",
                "The port is closed.",
                "The road is open."
            ]
        );
        assert!(document.text.contains("Lima\n\nMinisters") && document.date.is_none());
    }

    #[test]
    fn a_page_is_recognised_by_its_name_or_its_beginning() {
        let name = InputFormat::of_name;
        assert_eq!([name("a.HTML"), name("a.htm"), name("a.xhtml.gz")], [Some(InputFormat::Html); 3]);
        assert_eq!(InputFormat::of_content(b"\xef\xbb\xbf \n<!DocType HTML>"), InputFormat::Html);
        assert_eq!(InputFormat::of_content(b"<html lang=en>"), InputFormat::Html);
        assert_eq!(InputFormat::of_content(b"<3 said the envoy"), InputFormat::Text);
    }

    #[test]
    fn the_date_is_given_where_one_was_asked_for() {
        let page = page("<meta property='article:published_time' content='2024-03-01T10:00:00Z'>");
        let options = DocumentOptions {
            format: Some(InputFormat::Html),
            date_field: Some("date".into()),
            ..DocumentOptions::default()
        };
        let date = read_with(options, page.as_bytes()).remove(0).unwrap().date;
        assert_eq!(date.as_deref(), Some("2024-03-01T10:00:00Z"));
        assert_eq!(only(page.as_bytes()).unwrap().date, None);
    }

    #[test]
    fn the_encoding_is_the_one_that_the_page_declares() {
        let page = |declaration: &str| page(declaration).replace("Lima", "Zürich");
        let latin = |page: &str| page.chars().map(|c| c as u32 as u8).collect::<Vec<u8>>();
        for declaration in [
            "<meta charset=\"ISO-8859-1\">",
            "<META http-equiv='Content-Type' content='text/html; charset=windows-1252'>",
            // Declared wrongly, or not at all.
            "<meta charset=utf-8>",
            "",
        ] {
            let text = only(&latin(&page(declaration))).unwrap().text;
            assert!(text.contains("Zürich"), "{declaration}: {text}");
        }
        assert!(only(page("").as_bytes()).unwrap().text.contains("Zürich"));
        assert_eq!(declared(b"<?xml version='1.0' encoding='KOI8-R'?><html>").unwrap().name(), "KOI8-R");
        assert_eq!(declared(b"<meta charset=utf-16>").unwrap(), TextEncoding::UTF_8);
        assert_eq!(declared(b"<meta charset=nonsense><meta name=x>"), None);
    }

    #[test]
    fn what_is_no_article_is_read_as_it_is_and_what_has_no_text_is_told() {
        let short = only(b"<html><body><nav>Home</nav><div>One may leave.</div></body></html>").unwrap();
        assert!(short.text.contains("One may leave."));
        for empty in [
            "",
            "<html></html>",
            "<html><head><title>Talks</title></head><body><script>x()</script></body></html>",
        ] {
            let bad = only(empty.as_bytes()).unwrap_err();
            assert_eq!(bad.reason, "no article text found", "{empty}");
        }
    }

    #[test]
    fn a_hostile_page_is_refused_and_not_suffered() {
        let deep = "<html><body>".to_owned() + &"<div>".repeat(1_000_000);
        assert!(only(deep.as_bytes()).unwrap_err().reason.contains("nested"));
        let allowed = format!("<html><body>{}<p>One may leave.", "<div>".repeat(500));
        assert_eq!(sentences(&only(allowed.as_bytes()).unwrap()), ["One may leave."]);
        let options = DocumentOptions {
            format: Some(InputFormat::Html),
            max_record_bytes: 100,
            ..DocumentOptions::default()
        };
        let bad = read_with(options, page("").as_bytes()).remove(0).unwrap_err();
        assert!(bad.reason.contains("longer than 100 bytes"), "{bad}");
    }
}
