//! Web pages: the article, without what stands around it.

use super::bounded::too_long;
use super::encoding::{self, TextEncoding};
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
    input.fill(limit.saturating_add(1));
    if !input.is_whole() {
        let (reason, _) = too_long(Vec::new(), limit);
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
        Ok(_) | Err(ReadabilityError::GrabFailed) => todo!(),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    #[ignore = "exp"]
    fn exp() {
        for n in [1000usize, 10_000, 100_000] {
            for (what, html) in [
                ("div", format!("<html><body>{}<p>One may leave. Two stay here.</p>", "<div>".repeat(n))),
                ("b", format!("<html><body>{}<p>One may leave. Two stay here.</p>", "<b>".repeat(n))),
                ("span", format!("<html><body>{}<p>One may leave. Two stay here.</p>", "<span>".repeat(n))),
                ("pb", (0..n / 10).map(|i| format!("<p><b id={i}>x")).collect::<String>()),
            ] {
                eprintln!("{what} {n} start");
                let t = std::time::Instant::now();
                let page = Readability::new(html.as_str(), None, None).unwrap();
                eprintln!("{what} {n} dom {:?}", t.elapsed());
                let mut page = page;
                let r = page.parse().map(|a| a.length);
                eprintln!("{what} {n} parse {:?} {r:?}", t.elapsed());
            }
        }
    }
}
