//! A small writer of SVG: a picture, axes, and the style that both light and dark pages can read.

use std::fmt::Write as _;

/// A picture brings its own background: some pages are dark while the system is light, or the other way round.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}\
.title{font-size:16px;font-weight:600}.small{font-size:12px}.faint{fill:#59636e}.figure{font-size:12px;paint-order:stroke;stroke:#fff;stroke-width:4px}\
.paper{fill:#fff}.hollow{fill:#fff;stroke-width:2}.grid{stroke:#d1d9e0;stroke-width:1}\
.whisker{stroke:#1f2328;stroke-width:1.5;opacity:.6}.line{fill:none;stroke-width:2}.dashed{stroke-dasharray:6 4}.spread{stroke-width:2;opacity:.55}\
.f0{fill:#0969da}.s0{stroke:#0969da}.f1{fill:#bc4c00}.s1{stroke:#bc4c00}\
.f2{fill:#8250df}.s2{stroke:#8250df}.f3{fill:#6e7781}.s3{stroke:#6e7781}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.faint{fill:#9198a1}.figure{stroke:#0d1117}\
.paper,.hollow{fill:#0d1117}.grid{stroke:#3d444d}.whisker{stroke:#f0f6fc}\
.f0{fill:#58a6ff}.s0{stroke:#58a6ff}.f1{fill:#f0883e}.s1{stroke:#f0883e}\
.f2{fill:#d2a8ff}.s2{stroke:#d2a8ff}.f3{fill:#9198a1}.s3{stroke:#9198a1}}";

/// A colour: of fills `f`, of strokes `s`.
pub type Colour = usize;

#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

pub struct Picture {
    width: f64,
    height: f64,
    body: String,
}

impl Picture {
    pub fn new(width: f64, height: f64) -> Picture {
        Picture { width, height, body: String::new() }
    }

    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{}</text>"#,
            escaped(text)
        ));
    }

    /// Read from below to above.
    pub fn upright_text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.add(format_args!(
            r#"<text transform="translate({x:.1} {y:.1}) rotate(-90)" text-anchor="middle" class="{class}">{}</text>"#,
            escaped(text)
        ));
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#
        ));
    }

    pub fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(format_args!(r#"<polyline points="{}" class="{class}"/>"#, points.join(" ")));
    }

    pub fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, colour: Colour) {
        self.add(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" class="f{colour}"/>"#
        ));
    }

    /// Each colour has a form of its own, for those who do not see the colour. A hollow mark is of something else that
    /// is shown beside.
    pub fn mark(&mut self, (x, y): (f64, f64), colour: Colour, is_hollow: bool) {
        let class = if is_hollow { format!("hollow s{colour}") } else { format!("f{colour}") };
        match colour {
            0 => self.add(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="5" class="{class}"/>"#)),
            1 => self.add(format_args!(
                r#"<rect x="{:.1}" y="{:.1}" width="9" height="9" class="{class}"/>"#,
                x - 4.5,
                y - 4.5
            )),
            _ => {
                self.add(format_args!(r#"<path d="M{:.1},{:.1}l6,10.5h-12z" class="{class}"/>"#, x, y - 6.5))
            }
        }
    }

    /// The whole file. `title` is also what a screen reader says.
    pub fn finish(self, title: &str) -> String {
        let Picture { width, height, body } = self;
        let title = escaped(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" rx=\"6\" class=\"paper\"/>\n{body}</svg>\n"
        )
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0 on.
    Linear,
    Logarithmic,
}

/// Values along a length of the picture.
pub struct Axis {
    scale: Scale,
    values: (f64, f64),
    places: (f64, f64),
}

impl Axis {
    /// An axis that holds all values, from one place of the picture to another.
    pub fn new(scale: Scale, values: impl Iterator<Item = f64>, places: (f64, f64)) -> Axis {
        let (lowest, highest) =
            values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let values = match scale {
            Scale::Linear => (0.0, highest.max(f64::MIN_POSITIVE) * 1.02),
            // Whole halves of decades, so that no point lies on the edge.
            Scale::Logarithmic => {
                let half = |value: f64| value.max(f64::MIN_POSITIVE).log10() * 2.0;
                let (low, high) = (half(lowest * 0.93).floor(), half(highest * 1.07).ceil());
                (10f64.powf(low / 2.0), 10f64.powf(high / 2.0))
            }
        };
        Axis { scale, values, places }
    }

    pub fn place(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.values.0) / (self.values.1 - self.values.0),
            Scale::Logarithmic => (value / self.values.0).log10() / (self.values.1 / self.values.0).log10(),
        };
        self.places.0 + part * (self.places.1 - self.places.0)
    }

    /// Round values to label: powers of ten, or about five steps.
    pub fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Logarithmic => {
                let (low, high) = (self.values.0.log10(), self.values.1.log10());
                // Rounded up, but not past a power of ten that a float just misses.
                let first = (low - 1e-9).ceil() as i32;
                (first..)
                    .take_while(|power| f64::from(*power) <= high + 1e-9)
                    .map(|power| 10f64.powi(power))
                    .collect()
            }
            Scale::Linear => {
                let rough = self.values.1 / 5.0;
                let power = 10f64.powf(rough.log10().floor());
                let step =
                    [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= rough);
                let step = step.unwrap_or(rough);
                (0..).map(|at| f64::from(at) * step).take_while(|value| *value <= self.values.1).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_holds_its_values_between_powers_of_ten() {
        let axis = Axis::new(Scale::Logarithmic, [711.0, 22_511.0].into_iter(), (0.0, 100.0));
        assert_eq!(axis.ticks(), [1e3, 1e4]);
        assert!(axis.place(711.0) > 0.0 && axis.place(22_511.0) < 100.0);
        let middle = axis.place(1e3) - axis.place(1e4);
        assert!((middle - (axis.place(1e4) - axis.place(1e5))).abs() < 1e-6);
    }

    #[test]
    fn a_linear_axis_begins_at_0_and_has_round_steps() {
        let axis = Axis::new(Scale::Linear, [430_404.0, 630_230.0].into_iter(), (50.0, 250.0));
        assert_eq!(axis.ticks(), [0.0, 200_000.0, 400_000.0, 600_000.0]);
        assert!((axis.place(0.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn text_is_escaped() {
        let mut picture = Picture::new(10.0, 10.0);
        picture.text(0.0, 0.0, Anchor::Start, "", "a < b & c");
        assert!(picture.finish("\"x\"").contains("a &lt; b &amp; c"));
    }
}
