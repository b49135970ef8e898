//! Colours and letters of pictures. Every colour is written out, without variables, as programs that
//! draw SVG without being browsers do not know those. Contrast on the paper is at least 4.5 to 1.

use crate::names::Tone;

/// Letters of all that is printed.
pub(crate) const FONT: &str = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','Liberation Sans',Helvetica,Arial,sans-serif";

const TONES: [(Tone, &str, &str); 6] = [
    (Tone::Ours, "#0b5cad", "#6cb2ff"),
    (Tone::Native, "#59636e", "#a7b1bb"),
    (Tone::Container, "#a8480b", "#f0a060"),
    (Tone::Gvisor, "#7b3fa0", "#c79bef"),
    (Tone::Solo5, "#0f6f67", "#4fd1c0"),
    (Tone::Profile, "#7a6000", "#d9bd55"),
];

struct Inks {
    paper: &'static str,
    ink: &'static str,
    quiet: &'static str,
    grid: &'static str,
}

const LIGHT: Inks = Inks { paper: "#ffffff", ink: "#1b1f24", quiet: "#59636e", grid: "#dde1e6" };
const DARK: Inks = Inks { paper: "#14171a", ink: "#e6e9ec", quiet: "#a0a9b2", grid: "#343a41" };

/// The style sheet of every picture. Dark is for screens only: paper is light.
pub(crate) fn sheet() -> String {
    let light = colours(&LIGHT, |(_, light, _)| light);
    let dark = colours(&DARK, |(_, _, dark)| dark);
    format!(
        ".plot{{font:12px {FONT};font-variant-numeric:tabular-nums}}\
         .plot .strong{{font-weight:600}}.plot .name{{font-weight:600;font-size:14px}}.plot .small{{font-size:11px}}\
         .plot .soft{{fill-opacity:.3}}.plot .faint{{fill-opacity:.16}}\
         .plot .line{{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}}\
         .plot .thin{{stroke-width:1}}.plot .thick{{stroke-width:5;stroke-linecap:butt}}\
         .plot .dash1{{stroke-dasharray:7 4}}.plot .dash2{{stroke-dasharray:2 4}}\
         .plot .dash3{{stroke-dasharray:9 3 2 3}}\
         .plot .grid,.plot .axis,.plot .limit,.plot .leader{{fill:none;stroke-width:1}}\
         .plot .limit{{stroke-width:1.5;stroke-dasharray:3 3}}{light}\
         @media screen and (prefers-color-scheme:dark){{{dark}}}"
    )
}

fn colours(
    inks: &Inks,
    pick: impl Fn(&(Tone, &'static str, &'static str)) -> &'static str,
) -> String {
    let Inks { paper, ink, quiet, grid } = inks;
    let mut sheet = format!(
        ".plot text{{fill:{ink}}}.plot .quiet{{fill:{quiet}}}.plot .paper{{fill:{paper}}}\
         .plot .grid{{stroke:{grid}}}.plot .axis{{stroke:{quiet}}}.plot .leader{{stroke:{quiet}}}\
         .plot .limit{{stroke:{ink}}}.plot .no{{fill:none;stroke:{quiet};stroke-width:1}}\
         .plot .hollow{{fill:{paper}}}\
         .plot .halo{{stroke:{paper};stroke-width:3;stroke-linejoin:round;paint-order:stroke}}"
    );
    for tone in &TONES {
        let (class, colour) = (tone.0.class(), pick(tone));
        sheet += &format!(
            ".plot .{class}{{fill:{colour}}}.plot .line.{class}{{fill:none;stroke:{colour}}}\
             .plot .hollow.{class}{{fill:{paper};stroke:{colour};stroke-width:1.5}}"
        );
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As WCAG 2.1 has it.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn everything_can_be_read_on_its_paper() {
        for (tone, light, dark) in TONES {
            assert!(contrast(light, LIGHT.paper) >= 4.5, "{tone:?} on light paper");
            assert!(contrast(dark, DARK.paper) >= 4.5, "{tone:?} on dark paper");
        }
        for inks in [LIGHT, DARK] {
            assert!(contrast(inks.ink, inks.paper) >= 7.0);
            assert!(contrast(inks.quiet, inks.paper) >= 4.5);
        }
    }
}
