use super::json::{self, Entry};
use super::record::{OneOrMany, Record};
use super::spans::{Mark, spans};
use super::write::Writing;
use super::{Flaw, LabelledOptions, LabelledSentences, Loss};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use crate::text::Offsets;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    result: Vec<Region>,
    #[serde(default)]
    was_cancelled: bool,
}

#[derive(Deserialize)]
struct Region {
    #[serde(default)]
    from_name: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    value: Value,
}

/// Where a region lies and what it is called.
#[derive(Deserialize)]
struct Place {
    start: Value,
    end: Value,
    #[serde(rename = "globalOffsets")]
    in_all: Option<Range>,
    text: Option<String>,
    #[serde(alias = "hypertextlabels", default)]
    labels: Vec<String>,
}

#[derive(Deserialize)]
struct Range {
    start: usize,
    end: usize,
}

/// What the tasks of a file are annotated for: a task without regions does not tell.
#[derive(Default, Clone, Copy)]
struct Asked {
    labels: bool,
    entities: bool,
}

impl Asked {
    /// Both, if no task of the file tells.
    fn or_both(self) -> Self {
        if self.labels || self.entities { self } else { Self { labels: true, entities: true } }
    }
}

/// [`LabelledFormat::LabelStudio`](super::LabelledFormat::LabelStudio)
pub(super) fn read(path: &Path, options: LabelledOptions) -> Result<LabelledSentences, FormatError> {
    let asked = asked(path, &options)?;
    json::sentences(path, move |line, value| {
        let record = Record::new(line, value, &options)?;
        if record.get("data").is_some() {
            task(record, &options, asked.or_both()).map(Some)
        } else {
            small_task(record, &options, asked).map(Some)
        }
    })
}

fn asked(path: &Path, options: &LabelledOptions) -> Result<Asked, FormatError> {
    let mut asked = Asked::default();
    for entry in json::entries(path)? {
        let Entry { value: Ok(value), line } = entry? else { continue };
        let Ok(mut record) = Record::new(line, value, options) else { continue };
        if record.get("data").is_none() {
            let Ok((labels, marks)) = answers(&mut record, options) else { continue };
            asked.labels |= labels.is_some();
            asked.entities |= marks.is_some();
        } else {
            let Ok(Some(annotation)) = annotation(&mut record) else { continue };
            asked.labels |= annotation.result.iter().any(|region| is_choice(region, options));
            asked.entities |= annotation.result.iter().any(is_entity);
        }
        if asked.labels && asked.entities {
            break;
        }
    }
    Ok(asked)
}

/// The first annotation that was not cancelled.
fn annotation(record: &mut Record<'_>) -> Result<Option<Annotation>, Flaw> {
    let old = record.take::<Vec<Annotation>>("completions")?;
    let annotations = record.take::<Vec<Annotation>>("annotations")?.or(old).unwrap_or_default();
    Ok(annotations.into_iter().find(|annotation| !annotation.was_cancelled))
}

fn is_choice(region: &Region, options: &LabelledOptions) -> bool {
    // A choice that lies somewhere in the text is one about that place.
    region.kind == "choices"
        && region.value.get("start").is_none()
        && options.label_field.as_ref().is_none_or(|field| *field == region.from_name)
}

fn is_entity(region: &Region) -> bool {
    matches!(region.kind.as_str(), "labels" | "hypertextlabels")
}

fn task(mut task: Record<'_>, options: &LabelledOptions, asked: Asked) -> Result<GoldSentence, Vec<Flaw>> {
    let line = task.line;
    let annotation = annotation(&mut task)?;
    let mut data = Record::new(line, task.take("data")?.unwrap_or_default(), options)
        .map_err(|_| Flaw::malformed(line, "`data` is not an object"))?;
    let text = data.text(&["text"])?;
    let article = data.article()?;
    let mut labels = Vec::new();
    let mut marks = Vec::new();
    for region in annotation.iter().flat_map(|annotation| &annotation.result) {
        if is_choice(region, options) {
            let chosen = region.value.get("choices").cloned().unwrap_or_default();
            let chosen: Vec<String> = serde_json::from_value(chosen)
                .map_err(|e| task.malformed(format!("choices of `{}`: {e}", region.from_name)))?;
            labels.extend(chosen);
        } else if is_entity(region) {
            marks.extend(mark(line, region.value.clone())?);
        }
    }
    let entities = spans(line, &text, options.unit(), marks)?;
    let mut fields = data.fields();
    if let Some(id) = task.get("id") {
        fields.entry("id").or_insert_with(|| id.clone());
    }
    let annotated = annotation.is_some();
    Ok(GoldSentence {
        article,
        text,
        words: None,
        labels: (annotated && asked.labels).then_some(labels),
        entities: (annotated && asked.entities).then_some(entities),
        fields,
    })
}

/// A task of the JSON-MIN export: its data and its answers side by side, by the names of the controls. A control that was
/// left empty is not there.
fn small_task(
    mut record: Record<'_>,
    options: &LabelledOptions,
    asked: Asked,
) -> Result<GoldSentence, Vec<Flaw>> {
    let text = record.text(&["text"])?;
    let article = record.article()?;
    let (mut labels, marks) = answers(&mut record, options)?;
    let mut entities = marks.map(|marks| spans(record.line, &text, options.unit(), marks)).transpose()?;
    if labels.is_none() && entities.is_none() {
        labels = asked.labels.then(Vec::new);
        entities = asked.entities.then(Vec::new);
    }
    if labels.is_none() && entities.is_none() {
        let reason = "the task has no `data`, and none of `label`, `labels`, `stance` and `sentiment`; name the control with --label-field";
        return Err(record.malformed(reason).into());
    }
    Ok(GoldSentence { article, text, words: None, labels, entities, fields: record.fields() })
}

/// Labels, and marks of entities.
type Answers = (Option<Vec<String>>, Option<Vec<Mark>>);

/// What a task of the JSON-MIN export answers.
fn answers(record: &mut Record<'_>, options: &LabelledOptions) -> Result<Answers, Flaw> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected choices or labelled regions")]
    enum Answer {
        Regions(Vec<Value>),
        Several { choices: OneOrMany },
        One(OneOrMany),
    }
    let names = options.label_field.as_deref().into_iter().chain(["label", "labels", "stance", "sentiment"]);
    let (mut labels, mut marks): (Option<Vec<String>>, Option<Vec<Mark>>) = (None, None);
    for name in names {
        let chosen = match record.take::<Answer>(name)? {
            None => continue,
            Some(Answer::Regions(regions)) if regions.iter().all(Value::is_object) => {
                for region in regions {
                    marks.get_or_insert_default().extend(mark(record.line, region)?);
                }
                continue;
            }
            Some(Answer::Regions(names)) => serde_json::from_value(names.into())
                .map_err(|e| record.malformed(format!("field `{name}`: {e}")))?,
            Some(Answer::Several { choices } | Answer::One(choices)) => choices,
        };
        let chosen = chosen.named(&options.label_names).map_err(|reason| record.malformed(reason))?;
        labels.get_or_insert_default().extend(chosen.unwrap_or_default());
    }
    Ok((labels, marks))
}

/// The marks of a region, one a label.
fn mark(line: usize, region: Value) -> Result<Vec<Mark>, Flaw> {
    let Place { start, end, in_all, text, labels } = serde_json::from_value(region)
        .map_err(|e| Flaw::malformed(line, format!("a region of labels: {e}")))?;
    let of_text = |offset: &Value| offset.as_u64().and_then(|offset| usize::try_from(offset).ok());
    let (start, end) = match (in_all, of_text(&start), of_text(&end)) {
        (Some(Range { start, end }), ..) | (None, Some(start), Some(end)) => (start, end),
        _ => {
            let reason = format!(
                "a region of labels begins at {start} and ends at {end}: these are no offsets in the text"
            );
            return Err(Flaw::malformed(line, reason));
        }
    };
    Ok(labels.into_iter().map(|label| Mark { start, end, label, text: text.clone() }).collect())
}

/// The task of a sentence, with one annotation if the sentence is annotated.
pub(super) fn record(sentence: &GoldSentence, writing: &mut Writing) -> Map<String, Value> {
    let GoldSentence { article, text, words, labels, entities, .. } = sentence;
    writing.lose(Loss::Words, words.is_some());
    let mut data = Map::new();
    data.insert("text".into(), json!(text));
    if let Some(article) = article {
        data.insert("article".into(), json!(article));
    }
    writing.fields(&mut data, sentence, &["text", "article"]);
    let mut offsets = Offsets::new(text, writing.unit);
    let regions = entities.iter().flatten().enumerate().map(|(i, entity)| {
        let (start, end) = offsets.of(entity.span);
        json!({
            "id": format!("e{}", i + 1),
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": {"start": start, "end": end, "text": entity.span.of(text), "labels": [entity.label]},
        })
    });
    let mut result: Vec<Value> = regions.collect();
    if let Some(labels) = labels.as_ref().filter(|labels| !labels.is_empty()) {
        let value = json!({"choices": labels});
        result.push(json!({"from_name": "stance", "to_name": "text", "type": "choices", "value": value}));
    }
    let mut task = Map::new();
    task.insert("data".into(), data.into());
    let annotated = labels.is_some() || entities.is_some();
    if annotated {
        task.insert("annotations".into(), json!([{"result": result}]));
    }
    let contents = writing.contents();
    let (any_label, any_entity) = (!contents.labels.is_empty(), !contents.entity_types.is_empty());
    writing.annotation(labels, annotated && (any_label || !any_entity));
    writing.annotation(entities, annotated && (any_entity || !any_label));
    task
}

#[cfg(test)]
mod tests {
    use super::super::{LabelledFormat, LabelledOptions, testing};
    use crate::labels::GoldSentence;

    fn read(content: &str) -> Result<Vec<GoldSentence>, String> {
        testing::read(LabelledFormat::LabelStudio, content)
    }

    const EXPORT: &str = r#"[
      {"id": 12, "data": {"text": "🕊 to Lima", "desk": "world"}, "meta": {}, "project": 3,
       "annotations": [
         {"id": 1, "was_cancelled": true, "result": []},
         {"id": 2, "completed_by": 1, "was_cancelled": false, "lead_time": 2.5, "result": [
           {"value": {"start": 5, "end": 9, "text": "Lima", "labels": ["LOC"]}, "id": "x1", "from_name": "label", "to_name": "text", "type": "labels", "origin": "manual"},
           {"value": {"choices": ["hope"]}, "id": "x2", "from_name": "tone", "to_name": "text", "type": "choices"},
           {"from_id": "x1", "to_id": "x2", "type": "relation", "direction": "right"}]}],
       "predictions": [{"result": [{"type": "choices", "value": {"choices": ["fear"]}}]}]},
      {"id": 13, "data": {"text": "Nothing"}, "annotations": [{"id": 3, "result": []}]},
      {"id": 14, "data": {"text": "Later"}, "annotations": []}
    ]"#;

    #[test]
    fn an_export_is_read_with_its_regions_and_its_data() {
        let gold = read(EXPORT).unwrap();
        let entity = &gold[0].entities.as_ref().unwrap()[0];
        assert_eq!((entity.span.of(&gold[0].text), entity.label.as_str()), (Some("Lima"), "LOC"));
        assert_eq!(
            (gold[0].labels.clone(), &gold[0].fields["desk"]),
            (Some(vec!["hope".into()]), &"world".into())
        );
        assert_eq!((gold[1].labels.clone(), gold[1].entities.clone()), (Some(vec![]), Some(vec![])));
        assert_eq!(
            (gold[2].labels.clone(), gold[2].entities.clone(), &gold[2].fields["id"]),
            (None, None, &14.into())
        );
    }

    #[test]
    fn offsets_of_old_exports_may_count_utf16_units() {
        let old = EXPORT.replace("\"start\": 5, \"end\": 9", "\"start\": 6, \"end\": 10");
        let error = read(&old).unwrap_err();
        assert!(error.contains("data:2: ") && error.contains("--offsets utf16"), "{error}");
        let options = LabelledOptions {
            offsets: Some(crate::text::OffsetUnit::Utf16),
            ..LabelledFormat::LabelStudio.into()
        };
        assert_eq!(testing::read(options, old).unwrap().len(), 3);
    }

    #[test]
    fn the_small_export_is_read() {
        let gold = read(
            r#"[{"id":1,"text":"To Lima","label":[{"start":3,"end":7,"text":"Lima","labels":["LOC"]}],"annotator":1,"annotation_id":4},
                {"id":2,"text":"a","stance":"hope"},{"id":3,"text":"b","stance":{"choices":["hope","fear"]}}]"#,
        )
        .unwrap();
        assert_eq!(gold[0].entities.as_ref().unwrap()[0].span.of("To Lima"), Some("Lima"));
        let labels = |i: usize| gold[i].labels.as_ref().map(Vec::len);
        assert_eq!((labels(0), labels(1), labels(2)), (None, Some(1), Some(2)));
        assert!(read(r#"[{"id":1,"text":"a"}]"#).unwrap_err().contains("--label-field"));
    }

    #[test]
    fn a_task_of_the_small_export_without_a_region_has_none() {
        let export = r#"[{"id":1,"text":"To Lima","label":[{"start":3,"end":7,"text":"Lima","labels":["LOC"]}],"annotation_id":4},
            {"id":2,"text":"a","annotation_id":5}]"#;
        let gold = read(export).unwrap();
        assert_eq!((gold[1].labels.clone(), gold[1].entities.clone()), (None, Some(vec![])));
    }

    #[test]
    fn a_choice_about_a_region_is_no_label_of_the_text() {
        let about = r#"{"value": {"start": 5, "end": 9, "text": "Lima", "choices": ["sure"]}, "id": "x1", "from_name": "sure", "to_name": "text", "type": "choices"},
           {"from_id""#;
        let gold = read(&EXPORT.replace("{\"from_id\"", about)).unwrap();
        assert_eq!(gold[0].labels, Some(vec!["hope".into()]));
    }

    #[test]
    fn a_missing_text_and_a_place_in_html_are_named() {
        let error = read(r#"[{"data":{"body":"a"},"annotations":[]}]"#).unwrap_err();
        assert!(error.contains("no field `text` among body") && error.contains("--text-field"), "{error}");
        let region = r#"{"type":"hypertextlabels","value":{"start":"/p[1]","end":"/p[1]","startOffset":0,"hypertextlabels":["X"]}}"#;
        let error = read(&format!(r#"[{{"data":{{"text":"a"}},"annotations":[{{"result":[{region}]}}]}}]"#))
            .unwrap_err();
        assert!(error.contains("these are no offsets"), "{error}");
    }
}
