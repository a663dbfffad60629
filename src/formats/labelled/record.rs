//! JSON objects by their fields.

use super::{Flaw, LabelledOptions};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A JSON object that is taken apart field by field; what is left are the fields of the sentence.
pub(super) struct Record<'a> {
    pub(super) line: usize,
    fields: Map<String, Value>,
    options: &'a LabelledOptions,
}

impl<'a> Record<'a> {
    pub(super) fn new(line: usize, value: Value, options: &'a LabelledOptions) -> Result<Self, Flaw> {
        match value {
            Value::Object(fields) => Ok(Self { line, fields, options }),
            _ => Err(Flaw::malformed(line, "the record is not a JSON object")),
        }
    }

    pub(super) fn malformed(&self, reason: impl Into<String>) -> Flaw {
        Flaw::malformed(self.line, reason)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// A field, taken out; `null` counts as missing.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Flaw> {
        match self.fields.shift_remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|e| self.malformed(format!("field `{name}`: {e}"))),
        }
    }

    /// The text, from the field that the options name, or from the first of `names` that is there.
    pub(super) fn text(&mut self, names: &[&str]) -> Result<String, Flaw> {
        let asked = self.options.text_field.as_deref();
        let found = asked.into_iter().chain(names.iter().copied().filter(|_| asked.is_none()));
        for name in found {
            match self.take::<String>(name)? {
                Some(text) if text.trim().is_empty() => return Err(Flaw::empty_text(self.line)),
                Some(text) => return Ok(text),
                None => {}
            }
        }
        let there: Vec<&str> = self.fields.keys().map(String::as_str).collect();
        Err(self.malformed(format!(
            "no field `{}` among {}; name the field that holds the text with --text-field",
            asked.or(names.first().copied()).unwrap_or("text"),
            if there.is_empty() { "none".to_owned() } else { there.join(", ") }
        )))
    }

    /// The article's name, from the field `article`.
    pub(super) fn article(&mut self) -> Result<Option<String>, Flaw> {
        match self.take("article")? {
            None => Ok(None),
            Some(Value::String(name)) => Ok(Some(name)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(self.malformed("field `article` is not a string")),
        }
    }

    /// The sentence labels, from the field that the options name, or else from the one of `names` that is there: `None`
    /// without such a field, `Some(None)` where it is null or the number -1, which stand for "not annotated".
    pub(super) fn labels(&mut self, names: &[&str]) -> Result<Option<Option<Vec<String>>>, Flaw> {
        let names = self.options.label_field.as_deref().map_or_else(|| names.to_vec(), |asked| vec![asked]);
        let there: Vec<&str> = names.into_iter().filter(|name| self.fields.contains_key(*name)).collect();
        let name = match there[..] {
            [] => return Ok(None),
            [name] => name,
            [first, second, ..] => {
                return Err(self.malformed(two_of_labels(first, second)));
            }
        };
        let Some(labels) = self.take::<OneOrMany>(name)? else { return Ok(Some(None)) };
        labels
            .named(&self.options.label_names)
            .map(Some)
            .map_err(|reason| self.malformed(format!("field `{name}`: {reason}")))
    }

    /// What is left.
    pub(super) fn fields(self) -> Map<String, Value> {
        self.fields
    }
}

/// What is wrong where two fields or columns could have the labels.
pub(super) fn two_of_labels(first: &str, second: &str) -> String {
    format!("`{first}` and `{second}` both name labels; say which counts with --label-field")
}

/// A label, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a label or a list of labels")]
pub(super) enum OneOrMany {
    One(Name),
    Many(Vec<Name>),
}

impl OneOrMany {
    /// The names of the labels; `None` for the number -1, which stands for "not annotated" in Hugging Face data.
    pub(super) fn named(self, names: &[String]) -> Result<Option<Vec<String>>, String> {
        match self {
            Self::One(Name::Number(-1)) => Ok(None),
            Self::One(name) => Ok(Some(vec![name.named(names)?])),
            Self::Many(many) => {
                many.into_iter().map(|name| name.named(names)).collect::<Result<_, _>>().map(Some)
            }
        }
    }
}

/// A label as it may be written: by its name, or by its number in a list of names that is kept elsewhere.
#[derive(Deserialize, Clone)]
#[serde(untagged, expecting = "a name or a number")]
pub(super) enum Name {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl Name {
    /// The name; of a number, the one that `names` has for it, or its digits where there are no names.
    pub(super) fn named(self, names: &[String]) -> Result<String, String> {
        match self {
            Self::Text(name) => Ok(name),
            Self::Flag(flag) => Ok(flag.to_string()),
            Self::Number(number) if names.is_empty() => Ok(number.to_string()),
            Self::Number(number) => usize::try_from(number)
                .ok()
                .and_then(|number| names.get(number).cloned())
                .ok_or_else(|| format!("no label has the number {number}: there are {} names", names.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_are_named_by_their_number() {
        let labels = |value: Value, names: &[&str]| {
            let options = LabelledOptions {
                label_names: names.iter().map(|&name| name.to_owned()).collect(),
                ..LabelledOptions::default()
            };
            Record::new(1, value, &options).unwrap().labels(&["label", "labels"]).map_err(|flaw| flaw.reason)
        };
        assert_eq!(labels(json!({"label": 1}), &["a", "b"]), Ok(Some(Some(vec!["b".into()]))));
        assert_eq!(labels(json!({"labels": [1, 0]}), &[]), Ok(Some(Some(vec!["1".into(), "0".into()]))));
        assert_eq!(labels(json!({"label": -1}), &["a"]), Ok(Some(None)));
        assert_eq!(labels(json!({"label": null}), &[]), Ok(Some(None)));
        assert_eq!(labels(json!({}), &[]), Ok(None));
        assert!(labels(json!({"label": 2}), &["a", "b"]).unwrap_err().contains("no label has the number 2"));
        assert!(labels(json!({"label": "a", "labels": []}), &[]).unwrap_err().contains("--label-field"));
        assert!(labels(json!({"label": {}}), &[]).unwrap_err().contains("field `label`"));
    }
}
