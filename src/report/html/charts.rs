//! Charts as SVG, drawn by plotters. Their colours are roles: the style sheet gives each its colour in light and in dark.

use super::curves::{Bin, Decision, Risk, thinned};
use super::figures::count;
use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::RelativeSize;
use std::io::{Error, Result};
use std::ops::Range;

/// Units per pixel: plotters draws on whole units only.
const FINE: u32 = 4;
const WIDTH: u32 = 360 * FINE;
const HEIGHT: u32 = 280 * FINE;
/// Points of a curve at most.
const POINTS: usize = 240;

// Roles; the style sheet names them by these colours.
const FIRST: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const SECOND: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const THIRD: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xea);
const AXIS: RGBColor = RGBColor(0x8a, 0x93, 0x9c);
const WORDS: RGBColor = RGBColor(0x56, 0x60, 0x6a);
/// Lines to compare with: dashed.
const GUIDE: RGBColor = RGBColor(0x7d, 0x85, 0x8d);
/// Where the decision is made.
const DECIDED: RGBColor = RGBColor(0x1c, 0x22, 0x28);
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xfe);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<Error>>;
type Plot<'a, X, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>;

/// Share that has the label over probability, above a histogram of the bins' sizes out of `bins` equally wide ones.
pub(super) fn reliability(label: &str, points: &[Bin], bins: usize) -> Result<Markup> {
    let described = format!(
        "Share of sentences that have the label by the probability it was given, and under it the number of sentences, in {} bins.",
        points.len()
    );
    drawn(&format!("Reliability of {label}"), &described, |area| {
        let (upper, lower) = area.split_vertically(RelativeSize::Height(0.62));
        let mut plot = axes(&upper, 0.0..1.0, 0.0..1.0, Captions { x: None, y: "share with label" }, &tick)?;
        line(&mut plot, vec![(0.0, 0.0), (1.0, 1.0)], GUIDE.stroke_width(FINE))?;
        for bin in points {
            let ends = vec![(bin.probability, bin.interval.0), (bin.probability, bin.interval.1)];
            line(&mut plot, ends, FIRST.mix(0.45).stroke_width(2 * FINE))?;
        }
        let middle = points.iter().map(|bin| (bin.probability, bin.observed)).collect::<Vec<_>>();
        line(&mut plot, middle.clone(), FIRST.stroke_width(2 * FINE))?;
        plot.draw_series(middle.into_iter().map(|point| Circle::new(point, 3 * FINE, FIRST.filled())))?;

        let top = points.iter().map(|bin| bin.sentences).max().unwrap_or(1).max(10) as f64;
        let captions = Captions { x: Some("probability"), y: "number" };
        let whole = |value: &f64| if *value < 1.0 { String::new() } else { count(value.round() as usize) };
        let mut plot = axes(&lower, 0.0..1.0, (0.5..top * 1.3).log_scale(), captions, &whole)?;
        let width = 1.0 / bins.max(1) as f64;
        plot.draw_series(points.iter().map(|bin| {
            let left = bin.number as f64 * width;
            let corners = [(left + 0.1 * width, 0.5), (left + 0.9 * width, bin.sentences as f64)];
            Rectangle::new(corners, FIRST.filled())
        }))?;
        Ok(())
    })
}

/// Precision over recall; `decided` is where the decisions stand, `prevalence` the precision of giving everyone the label.
pub(super) fn precision_recall(
    label: &str,
    points: &[Decision],
    decided: Option<(f64, f64)>,
    prevalence: f64,
) -> Result<Markup> {
    let described =
        "Precision by recall as the threshold falls; a ring marks the decisions that were scored.";
    drawn(&format!("Precision and recall of {label}"), described, |area| {
        let captions = Captions { x: Some("recall"), y: "precision" };
        let mut plot = axes(area, 0.0..1.0, 0.0..1.0, captions, &tick)?;
        line(&mut plot, vec![(0.0, prevalence), (1.0, prevalence)], GUIDE.stroke_width(FINE))?;
        let curve = thinned(points, POINTS).iter().map(|point| (point.recall, point.precision)).collect();
        line(&mut plot, curve, FIRST.stroke_width(2 * FINE))?;
        if let Some(decided) = decided {
            plot.draw_series([Circle::new(decided, 6 * FINE, PAPER.filled())])?;
            plot.draw_series([Circle::new(decided, 6 * FINE, DECIDED.stroke_width(2 * FINE))])?;
            plot.draw_series([Circle::new(decided, 2 * FINE, DECIDED.filled())])?;
        }
        Ok(())
    })
}

/// Precision, recall and F1 over the threshold.
pub(super) fn sweep(label: &str, points: &[Decision], stored: Option<f64>) -> Result<Markup> {
    let described = "Precision, recall and F1 by threshold; an upright line marks the threshold in use.";
    drawn(&format!("Thresholds of {label}"), described, |area| {
        let captions = Captions { x: Some("threshold"), y: "figure" };
        let mut plot = axes(area, 0.0..1.0, 0.0..1.0, captions, &tick)?;
        if let Some(stored) = stored {
            line(&mut plot, vec![(stored, 0.0), (stored, 1.0)], DECIDED.stroke_width(FINE))?;
        }
        let points = thinned(points, POINTS);
        let mut curve = |figure: fn(&Decision) -> f64, style: ShapeStyle| {
            line(&mut plot, points.iter().map(|point| (point.threshold, figure(point))).collect(), style)
        };
        curve(|point| point.precision, FIRST.stroke_width(2 * FINE))?;
        curve(|point| point.recall, SECOND.stroke_width(2 * FINE))?;
        curve(|point| point.f1, THIRD.stroke_width(3 * FINE))
    })
}

/// Share of wrong answers over share of answered sentences.
pub(super) fn coverage(points: &[Risk]) -> Result<Markup> {
    let described = "Share of answered sentences that are wrong, by the share of sentences that is answered, the surest first.";
    drawn("Risk by coverage", described, |area| {
        let highest = points.iter().map(|point| point.risk).fold(0.0, f64::max);
        let top = ((highest * 20.0).ceil() / 20.0).clamp(0.05, 1.0);
        let captions = Captions { x: Some("share answered"), y: "share wrong" };
        let mut plot = axes(area, 0.0..1.0, 0.0..top, captions, &tick)?;
        let curve = thinned(points, POINTS).iter().map(|point| (point.coverage, point.risk)).collect();
        line(&mut plot, curve, FIRST.stroke_width(2 * FINE))?;
        let all = points.last().map(|point| (point.coverage, point.risk));
        plot.draw_series(all.map(|all| Circle::new(all, 4 * FINE, FIRST.filled())))?;
        Ok(())
    })
}

struct Captions<'a> {
    /// Under the chart; none, no ticks either.
    x: Option<&'a str>,
    y: &'a str,
}

/// A grid with ticks. `y_tick` writes the upright ones.
fn axes<'a, Y>(
    area: &Area<'a>,
    x: Range<f64>,
    y: Y,
    captions: Captions<'_>,
    y_tick: &dyn Fn(&f64) -> String,
) -> std::result::Result<
    Plot<'a, plotters::coord::types::RangedCoordf64, Y::CoordDescType>,
    DrawingAreaErrorKind<Error>,
>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let words = ("sans-serif", 16 * FINE).into_font().color(&WORDS);
    let mut plot = ChartBuilder::on(area)
        .margin_top(10 * FINE)
        .margin_right(14 * FINE)
        .margin_left(6 * FINE)
        .x_label_area_size(if captions.x.is_some() { 42 * FINE } else { 8 * FINE })
        .y_label_area_size(58 * FINE)
        .build_cartesian_2d(x, y)?;
    let mut mesh = plot.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(FINE))
        .axis_style(AXIS.stroke_width(FINE))
        .label_style(words.clone())
        .axis_desc_style(words)
        .set_all_tick_mark_size(4 * FINE)
        .x_labels(if captions.x.is_some() { 6 } else { 0 })
        .y_labels(if captions.x.is_some() { 6 } else { 3 })
        .x_label_formatter(&tick)
        .y_label_formatter(y_tick)
        .y_desc(captions.y);
    if let Some(caption) = captions.x {
        mesh.x_desc(caption);
    }
    mesh.draw()?;
    drop(mesh);
    Ok(plot)
}

/// A tick with as many digits as it needs.
fn tick(value: &f64) -> String {
    let text = format!("{value:.2}");
    text.strip_suffix('0').unwrap_or(&text).to_owned()
}

fn line<'a, X, Y>(plot: &mut Plot<'a, X, Y>, points: Vec<(f64, f64)>, style: ShapeStyle) -> Drawn
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    plot.draw_series((points.len() > 1).then(|| PathElement::new(points, style)))?;
    Ok(())
}

/// The drawing as an element that scales, with a name and a description.
fn drawn(title: &str, description: &str, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<Markup> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
    draw(&area).and_then(|()| area.present()).map_err(Error::other)?;
    drop(area);
    // The element around it is written below; what the style sheet says need not be said in every element.
    let inner = svg.split_once('>').map_or("", |(_, inner)| inner);
    let inner = inner.trim_end().strip_suffix("</svg>").unwrap_or(inner);
    let inner =
        inner.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", "").replace(">\n", ">");
    Ok(html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) {
            title { (title) }
            desc { (description) }
            (PreEscaped(inner))
        }
    })
}
