//! The figures as a chart: for each row, how many times the cost of ftpdlib the others have, on a
//! logarithmic scale. There is one for light pages and one for dark pages.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::common::{Speech, number};
use crate::entrants::BARE;
use crate::figures::{Figures, Kind, Row};

/// Draws `compare-light.svg` and `compare-dark.svg`.
pub fn draw(figures: &Figures, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, theme) in [("light", &LIGHT), ("dark", &DARK)] {
        let path = directory.join(format!("compare-{name}.svg"));
        fs::write(path, Chart::new(figures, theme).svg())?;
    }
    Ok(())
}

struct Theme {
    page: &'static str,
    ink: &'static str,
    faint: &'static str,
    grid: &'static str,
    /// The background where others are ahead.
    shade: &'static str,
    /// The colours, one for each server after ftpdlib.
    marks: [&'static str; 4],
}

const LIGHT: Theme = Theme {
    page: "#ffffff",
    ink: "#1f2328",
    faint: "#59636e",
    grid: "#d8dee4",
    shade: "#f3e9e4",
    marks: ["#0072b2", "#c45500", "#a0418a", "#00845f"],
};

const DARK: Theme = Theme {
    page: "#0d1117",
    ink: "#f0f6fc",
    faint: "#9198a1",
    grid: "#30363d",
    shade: "#2b211d",
    marks: ["#58b4f0", "#f59445", "#dd8fcb", "#3fc79a"],
};

struct Chart<'a> {
    figures: &'a Figures,
    theme: &'a Theme,
    /// The lines: headings, and rows in clear and with TLS.
    lines: Vec<Line<'a>>,
    /// The least and the greatest value on the scale.
    range: (f64, f64),
}

enum Line<'a> {
    Heading(&'static str),
    Rows(&'a str, [Option<&'a Row>; 2]),
}

impl<'a> Chart<'a> {
    fn new(figures: &'a Figures, theme: &'a Theme) -> Self {
        let mut chart = Self {
            figures,
            theme,
            lines: Vec::new(),
            range: (0.7, 1.5),
        };
        for (kind, heading) in SECTIONS {
            chart.section(kind, heading);
        }
        for line in &chart.lines {
            let Line::Rows(_, rows) = line else {
                continue;
            };
            for (_, ratio) in rows.iter().flatten().flat_map(|row| others(figures, row)) {
                chart.range.0 = chart.range.0.min(ratio * 0.9);
                chart.range.1 = chart.range.1.max(ratio * 1.1);
            }
        }
        chart
    }

    fn section(&mut self, kind: Kind, heading: &'static str) {
        let mut titles: Vec<&str> = Vec::new();
        for speech in SPEECHES {
            for row in self.figures.of(speech, kind) {
                // Of the waiting times, only those in which the client itself does no work.
                let shown = kind != Kind::Wall || row.title.starts_with("NOOP");
                if shown && !titles.contains(&row.title.as_str()) {
                    titles.push(&row.title);
                }
            }
        }
        if !titles.is_empty() {
            self.lines.push(Line::Heading(heading));
        }
        for title in titles {
            let find = |speech| self.figures.of(speech, kind).find(|row| row.title == title);
            self.lines.push(Line::Rows(title, SPEECHES.map(find)));
        }
    }

    fn svg(&self) -> String {
        let height = TOP + self.lines.len() as f64 * STEP + 34.0;
        let Theme { page, ink, .. } = self.theme;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             font-family=\"-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif\" \
             font-size=\"12\" fill=\"{ink}\">\n\
             <title>{TITLE}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"6\" fill=\"{page}\"/>\n",
        );
        text(
            &mut svg,
            (20.0, 28.0),
            "font-size=\"15\" font-weight=\"600\"",
            TITLE,
        );
        self.legend(&mut svg);
        for (panel, speech) in ["in clear", "with TLS"].into_iter().enumerate() {
            self.panel(&mut svg, panel, speech, height);
        }
        for (index, line) in self.lines.iter().enumerate() {
            self.line(&mut svg, line, TOP + (index as f64 + 0.5) * STEP);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut x = 26.0;
        let others = self.figures.names.iter().enumerate().skip(1);
        for (server, name) in others.filter(|(_, name)| **name != BARE) {
            self.mark(svg, server, (x, 48.0));
            text(svg, (x + 10.0, 52.0), "", name);
            x += 96.0;
        }
        let faint = format!("fill=\"{}\"", self.theme.faint);
        text(
            svg,
            (x, 52.0),
            &faint,
            "right of the line: more than ftpdlib",
        );
    }

    /// Draws the scale of a panel, and its grid.
    fn panel(&self, svg: &mut String, panel: usize, name: &str, height: f64) {
        let Theme {
            faint,
            grid,
            ink,
            shade,
            ..
        } = self.theme;
        let (left, one) = (start(panel), self.x(panel, 1.0));
        let (top, bottom) = (TOP, height - 26.0);
        text(svg, (left, TOP - 12.0), "font-weight=\"600\"", name);
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{shade}\"/>",
            one - left,
            bottom - top,
        );
        let column = format!("text-anchor=\"end\" fill=\"{faint}\"");
        text(svg, (left - 8.0, TOP - 12.0), &column, "ftpdlib");
        for tick in TICKS {
            if tick < self.range.0 || tick > self.range.1 {
                continue;
            }
            let x = self.x(panel, tick);
            let (colour, width) = if tick == 1.0 { (ink, 1.5) } else { (grid, 1.0) };
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
            );
            let style = format!("text-anchor=\"middle\" font-size=\"11\" fill=\"{faint}\"");
            text(svg, (x, bottom + 15.0), &style, &format!("×{tick}"));
        }
    }

    fn line(&self, svg: &mut String, line: &Line<'_>, y: f64) {
        let (title, rows) = match line {
            Line::Heading(heading) => {
                return text(svg, (20.0, y + 6.0), "font-weight=\"600\"", heading);
            }
            Line::Rows(title, rows) => (title, rows),
        };
        text(svg, (20.0, y + 4.0), "", title);
        for (panel, row) in rows.iter().enumerate() {
            let Some(row) = row else { continue };
            if let Some(ours) = row.median(0) {
                let ours = format!("{} {}", number(ours), row.unit);
                let style = format!("text-anchor=\"end\" fill=\"{}\"", self.theme.faint);
                text(svg, (start(panel) - 8.0, y + 4.0), &style, &ours);
            }
            for (server, ratio) in others(self.figures, row) {
                self.mark(svg, server, (self.x(panel, ratio), y));
            }
        }
    }

    /// Each server has its own shape, too, for readers who cannot tell the colours apart.
    fn mark(&self, svg: &mut String, server: usize, (x, y): (f64, f64)) {
        let place = MARKED
            .iter()
            .position(|name| *name == self.figures.names[server]);
        let place = place.expect("a server that was told of");
        let path = [
            "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
            "M-4 -4h8v8h-8z",
            "M0 -5.5L5.5 0L0 5.5L-5.5 0z",
            "M0 -5L5 4h-10z",
        ][place];
        let (colour, page) = (self.theme.marks[place], self.theme.page);
        let _ = writeln!(
            svg,
            "<path transform=\"translate({x:.1} {y:.1})\" d=\"{path}\" fill=\"{colour}\" stroke=\"{page}\" stroke-width=\"1\"/>"
        );
    }

    /// Returns the position of a value in a panel.
    fn x(&self, panel: usize, ratio: f64) -> f64 {
        let (least, most) = self.range;
        start(panel) + PANEL * (ratio / least).ln() / (most / least).ln()
    }
}

/// Returns the other servers of a row, as multiples of ftpdlib.
fn others(figures: &Figures, row: &Row) -> Vec<(usize, f64)> {
    let Some(ours) = row.median(0).filter(|ours| *ours > 0.0) else {
        return Vec::new();
    };
    let others = (1..figures.names.len()).filter(|server| figures.names[*server] != BARE);
    others
        .filter_map(|server| Some((server, row.median(server)? / ours)))
        .collect()
}

fn text(svg: &mut String, (x, y): (f64, f64), style: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{words}</text>"
    );
}

/// Where a panel begins.
fn start(panel: usize) -> f64 {
    310.0 + panel as f64 * (PANEL + 100.0)
}

const TITLE: &str = "What servers spend on the same work, as a multiple of what ftpdlib does";

const SPEECHES: [Speech; 2] = [Speech::Clear, Speech::Tls];

const SECTIONS: [(Kind, &str); 3] = [
    (Kind::Cpu, "CPU time"),
    (Kind::Memory, "Private memory"),
    (Kind::Wall, "Latency"),
];

/// The servers in the order of their marks.
const MARKED: [&str; 4] = ["pyftpdlib", "vsftpd", "proftpd", "pure-ftpd"];

const TICKS: [f64; 12] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0,
];

const WIDTH: f64 = 980.0;
const PANEL: f64 = 275.0;
const TOP: f64 = 96.0;
/// The height of a line.
const STEP: f64 = 21.0;
