//! The two kinds of plots: lines over a load, and rows beside each other.

use crate::number::Unit;
use crate::results::Spread;
use crate::svg::{Anchor, Axis, Colour, Picture, Scale};

const WIDTH: f64 = 760.0;

/// Figures over something that grows to the right, such as a load.
pub struct Lines {
    pub title: String,
    pub below: String,
    pub left: String,
    pub x: (Scale, fn(f64) -> String),
    pub y: (Scale, Unit),
    pub series: Vec<Series>,
}

pub struct Series {
    pub name: String,
    pub colour: Colour,
    /// Of something else that is shown beside: dashed and hollow.
    pub is_dashed: bool,
    /// Joined by a line.
    pub points: Vec<(f64, Spread)>,
    /// Of another kind of load: nothing is said of what lies between.
    pub apart: Vec<(f64, Spread)>,
}

impl Series {
    fn all(&self) -> impl Iterator<Item = &(f64, Spread)> {
        self.points.iter().chain(&self.apart)
    }
}

impl Lines {
    pub fn draw(self) -> String {
        let mut picture = Picture::new(WIDTH, 420.0);
        let (left, right, bottom) = (88.0, WIDTH - 48.0, 362.0);
        picture.text(20.0, 30.0, Anchor::Start, "title", &self.title);
        let keys = self
            .series
            .iter()
            .map(|series| (series.name.as_str(), series.colour, Sample::Line { dashed: series.is_dashed }));
        let top = legend(&mut picture, 20.0, 54.0, keys) + 22.0;

        let points = || self.series.iter().flat_map(Series::all);
        let x = Axis::new(self.x.0, points().map(|point| point.0), (left, right));
        let spreads = points().flat_map(|(_, spread)| [spread.lowest, spread.highest]);
        let y = Axis::new(self.y.0, spreads, (bottom, top));
        for value in y.ticks() {
            let place = y.place(value);
            picture.line((left, place), (right, place), "grid");
            picture.text(left - 10.0, place + 4.0, Anchor::End, "small", &self.y.1.show(value));
        }
        for value in x.ticks() {
            picture.line((x.place(value), top), (x.place(value), bottom), "grid");
            picture.text(x.place(value), bottom + 20.0, Anchor::Middle, "small", &self.x.1(value));
        }
        picture.text(f64::midpoint(left, right), bottom + 46.0, Anchor::Middle, "faint", &self.below);
        picture.upright_text(22.0, f64::midpoint(top, bottom), "faint", &self.left);
        for series in &self.series {
            let at = |(load, spread): &(f64, Spread)| (x.place(*load), y.place(spread.median));
            let places: Vec<_> = series.points.iter().map(at).collect();
            let dashed = if series.is_dashed { " dashed" } else { "" };
            picture.path(&places, &format!("line s{}{dashed}", series.colour));
            for point in series.all() {
                let (place, spread) = (at(point), point.1);
                let (low, high) = (y.place(spread.lowest), y.place(spread.highest));
                picture.line((place.0, low), (place.0, high), &format!("spread s{}", series.colour));
                picture.mark(place, series.colour, series.is_dashed);
            }
        }
        picture.finish(&self.title)
    }
}

/// Several ways beside each other, a row each.
pub struct Rows {
    pub title: String,
    pub below: String,
    pub unit: Unit,
    pub keys: Vec<(&'static str, Colour)>,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub name: String,
    pub figures: Vec<(Colour, Spread)>,
}

const NAMES_WIDTH: f64 = 230.0;

impl Rows {
    /// Marks over a logarithmic axis, of which one row may have several.
    pub fn draw_marks(self) -> String {
        self.draw(Scale::Logarithmic, Sample::Mark, 34.0, |picture, x, y, row| {
            for (colour, spread) in &row.figures {
                let (low, high) = (x.place(spread.lowest), x.place(spread.highest));
                picture.line((low, y), (high, y), &format!("spread s{colour}"));
                picture.mark((x.place(spread.median), y), *colour, false);
            }
        })
    }

    /// Bars from 0 on, below each other, each with its figure.
    pub fn draw_bars(self) -> String {
        let (unit, most) = (self.unit, self.rows.iter().map(|row| row.figures.len()).max().unwrap_or(1));
        self.draw(Scale::Linear, Sample::Bar, most as f64 * 19.0 + 14.0, move |picture, x, y, row| {
            let mut top = y - row.figures.len() as f64 * 9.5;
            for (colour, spread) in &row.figures {
                let (zero, end) = (x.place(0.0), x.place(spread.median));
                picture.bar(zero, top + 1.0, end - zero, 16.0, *colour);
                let (low, high) = (x.place(spread.lowest), x.place(spread.highest));
                if high - low > 1.0 {
                    picture.line((low, top + 9.0), (high, top + 9.0), "whisker");
                }
                picture.text(
                    high.max(end) + 6.0,
                    top + 13.0,
                    Anchor::Start,
                    "figure",
                    &unit.show(spread.median),
                );
                top += 19.0;
            }
        })
    }

    fn draw(
        self,
        scale: Scale,
        sample: Sample,
        row_height: f64,
        draw: impl Fn(&mut Picture, &Axis, f64, &Row),
    ) -> String {
        let keys = self.keys.iter().map(|(name, colour)| (*name, *colour, sample));
        let top = if self.keys.is_empty() { 52.0 } else { 76.0 };
        let bottom = top + row_height * self.rows.len() as f64;
        let mut picture = Picture::new(WIDTH, bottom + 62.0);
        picture.text(20.0, 30.0, Anchor::Start, "title", &self.title);
        legend(&mut picture, 20.0, 54.0, keys);
        let figures = self.rows.iter().flat_map(|row| &row.figures);
        let values = figures.flat_map(|(_, spread)| [spread.lowest, spread.highest]);
        // A bar's figure stands beside its end.
        let room = if scale == Scale::Linear { 96.0 } else { 28.0 };
        let x = Axis::new(scale, values, (20.0 + NAMES_WIDTH, WIDTH - room));
        for value in x.ticks() {
            picture.line((x.place(value), top), (x.place(value), bottom), "grid");
            picture.text(x.place(value), bottom + 18.0, Anchor::Middle, "small", &self.unit.show(value));
        }
        for (at, row) in self.rows.iter().enumerate() {
            let y = top + row_height * (at as f64 + 0.5);
            picture.text(10.0 + NAMES_WIDTH, y + 4.0, Anchor::End, "", &row.name);
            draw(&mut picture, &x, y, row);
        }
        let middle = f64::midpoint(20.0 + NAMES_WIDTH, WIDTH - room);
        picture.text(middle, bottom + 44.0, Anchor::Middle, "faint", &self.below);
        picture.finish(&self.title)
    }
}

/// How a legend shows what it names.
#[derive(Clone, Copy)]
enum Sample {
    Line { dashed: bool },
    Mark,
    Bar,
}

/// What the colours and forms mean; the place below it.
fn legend<'a>(
    picture: &mut Picture,
    left: f64,
    top: f64,
    keys: impl Iterator<Item = (&'a str, Colour, Sample)>,
) -> f64 {
    let (mut x, mut y) = (left, top);
    for (name, colour, sample) in keys {
        // About as wide as the text will be; fonts differ.
        let width = 44.0 + name.chars().count() as f64 * 7.4;
        if x + width > WIDTH - 20.0 {
            (x, y) = (left, y + 22.0);
        }
        match sample {
            Sample::Bar => picture.bar(x + 4.0, y - 7.0, 18.0, 14.0, colour),
            Sample::Mark => picture.mark((x + 13.0, y), colour, false),
            Sample::Line { dashed } => {
                let class = if dashed { " dashed" } else { "" };
                picture.line((x, y), (x + 22.0, y), &format!("line s{colour}{class}"));
                picture.mark((x + 11.0, y), colour, dashed);
            }
        }
        picture.text(x + 29.0, y + 4.0, Anchor::Start, "small", name);
        x += width;
    }
    y + 8.0
}
