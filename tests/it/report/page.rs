//! A page as a parser sees it.

use scraper::{ElementRef, Html, Selector};
use std::collections::HashSet;
use undertone::evaluation::Evaluation;

pub(crate) struct Page {
    html: Html,
}

impl Page {
    pub(crate) fn new(text: &str) -> Self {
        Self { html: Html::parse_document(text) }
    }

    fn elements(&self, selector: &str) -> Vec<ElementRef<'_>> {
        self.html.select(&Selector::parse(selector).expect("a selector")).collect()
    }

    pub(crate) fn count(&self, selector: &str) -> usize {
        self.elements(selector).len()
    }

    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        self.elements(selector).iter().map(text).collect()
    }

    pub(crate) fn attributes(&self, selector: &str, name: &str) -> Vec<String> {
        self.elements(selector).iter().filter_map(|e| e.attr(name)).map(str::to_owned).collect()
    }

    /// The rows of a table in the box of that name, without its head.
    pub(crate) fn table(&self, name: &str) -> Vec<Vec<String>> {
        let cells = Selector::parse("th, td").expect("a selector");
        self.elements(&format!("[aria-label=\"{name}\"] tbody tr, [aria-label=\"{name}\"] tfoot tr"))
            .iter()
            .map(|row| row.select(&cells).map(|cell| text(&cell)).collect())
            .collect()
    }

    /// The evaluations that can be saved.
    pub(crate) fn evaluations(&self) -> Vec<Evaluation> {
        serde_json::from_str(&self.texts("#evaluations")[0]).expect("the JSON reads back")
    }

    /// No parse error; nothing from elsewhere; every link leads somewhere; every chart and every table has a name.
    pub(crate) fn is_whole(&self) {
        assert!(self.html.errors.is_empty(), "{:?}", self.html.errors);
        let ids = self.attributes("[id]", "id");
        let unique: HashSet<&String> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{ids:?}");
        assert_eq!(
            self.count(
                "[src], [srcset], [data], [action], [background], iframe, object, embed, base, image, use"
            ),
            0
        );
        for link in self.attributes("[href]", "href") {
            let target = link.strip_prefix('#');
            assert!(link == "data:," || target.is_some_and(|id| unique.contains(&id.to_owned())), "{link}");
        }
        let style = self.texts("style").concat();
        assert!(!style.contains("url(") && !style.contains("@import"), "a style sheet fetches");
        assert_eq!(self.count("[onclick], [onerror], [onload]"), 0);
        for chart in self.elements("svg") {
            assert!(chart.attr("aria-label").is_some_and(|name| !name.is_empty()), "{}", chart.html());
        }
        assert_eq!(self.count("svg"), self.count("svg[role=img] > title"));
        assert_eq!(self.count("table"), self.count("[role=region][aria-label][tabindex] > table"));
        assert_eq!(self.count("html[lang] > head > title"), 1);
    }
}

fn text(element: &ElementRef<'_>) -> String {
    element.text().collect()
}
