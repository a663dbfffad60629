//! Evaluations as a page for the browser: one file, nothing fetched, the same bytes for the same figures.

mod breakdown;
mod charts;
mod comparison;
mod curves;
mod entities;
mod figures;
mod heat;
mod labels;
mod mistakes;
mod overview;
mod sentence;

use crate::evaluation::{ErrorRecord, Evaluation};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use std::io::{Result, Write};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// An evaluation and what went wrong, for [`html()`].
#[derive(Debug, Clone, Copy)]
pub struct Evaluated<'a> {
    /// The figures.
    pub evaluation: &'a Evaluation,
    /// Sentences with something wrong, the worst first: as many as the page is to show.
    pub errors: &'a [ErrorRecord],
    /// Sentences with something wrong, those that are not shown too.
    pub wrong: usize,
}

/// Writes a page that tells of the evaluations, one after the other.
///
/// It needs no network and runs without its script too, which only filters mistakes and saves the figures. Text is
/// escaped, and a content security policy lets no other script run.
///
/// # Errors
/// If the writer fails.
pub fn html(out: &mut impl Write, evaluated: &[Evaluated<'_>]) -> Result<()> {
    write(out, html! { (DOCTYPE) })?;
    out.write_all(b"<html lang=\"en\">\n")?;
    write(out, head(evaluated))?;
    out.write_all(b"<body>\n")?;
    write(out, overview::masthead(evaluated))?;
    out.write_all(b"<main id=\"content\">\n")?;
    for (number, run) in (1..).zip(evaluated) {
        let Evaluated { evaluation, errors, wrong } = *run;
        out.write_all(format!("<article id=\"e{number}\">\n").as_bytes())?;
        write(out, overview::opening(number, run))?;
        if let Some(report) = &evaluation.classification {
            write(out, labels::section(number, report)?)?;
        }
        if let Some(report) = &evaluation.entities {
            write(out, entities::section(number, report))?;
        }
        if let Some(comparison) = &evaluation.comparison {
            write(out, comparison::section(number, comparison))?;
        }
        if !evaluation.by.is_empty() {
            let labels = evaluation.classification.iter().flat_map(|report| &report.labels);
            let order: Vec<&str> = labels.map(|label| label.label.as_str()).collect();
            write(out, breakdown::section(number, &evaluation.by, &order))?;
        }
        if wrong > 0 || !errors.is_empty() {
            mistakes::section(out, number, errors, wrong)?;
        }
        out.write_all(b"</article>\n")?;
    }
    out.write_all(b"</main>\n")?;
    write(out, overview::colophon())?;
    let evaluations: Vec<&Evaluation> = evaluated.iter().map(|run| run.evaluation).collect();
    let json = inert(&serde_json::to_string(&evaluations)?);
    write(out, html! { script #evaluations type="application/json" { (PreEscaped(json)) } })?;
    write(out, html! { script { (PreEscaped(SCRIPT)) } })?;
    out.write_all(b"</body>\n</html>\n")
}

fn write(out: &mut impl Write, markup: Markup) -> Result<()> {
    out.write_all(markup.into_string().as_bytes())?;
    out.write_all(b"\n")
}

fn head(evaluated: &[Evaluated<'_>]) -> Markup {
    let script = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    // Nothing is fetched, and only the script below is run.
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{script}'; base-uri 'none'; \
         form-action 'none'"
    );
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (overview::title(evaluated)) " · Undertone" }
            // Or a browser asks the server for one.
            link rel="icon" href="data:,";
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// JSON that no text can end the surrounding element with.
fn inert(json: &str) -> String {
    let mut inert = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // All of them stand inside strings only.
            '<' | '>' | '&' | '\u{7f}'..='\u{9f}' => inert.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => inert.push(c),
        }
    }
    inert
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_the_json_and_it_reads_back_the_same() {
        let text = "</script><!--<script>&amp;\u{85}é";
        let json = inert(&serde_json::to_string(text).unwrap());
        assert!(!json.contains(['<', '>', '&', '\u{85}']), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn the_script_and_the_style_do_not_end_their_elements() {
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        assert!(!STYLE.contains("</"));
    }
}
