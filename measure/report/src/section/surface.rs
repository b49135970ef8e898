//! How many kernel functions are reached: at work, at the start and at the end.

use surface::model::Run;

use crate::document::{Block, Cell, Shown, Table, Text};
use crate::measurement::Measurement;
use crate::names::{self, Tone};
use crate::number;
use crate::plot::{Bars, Group, Picture, Row};
use crate::view;

const COMMAND: &str = "cargo xtask measure surface";

pub(super) fn steady(measurement: &Measurement) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(Text::of(
        "Different functions of the kernel that a system's processes reach while they answer \
         requests, after they were warmed up. Connecting is in it; the start and the end are not. \
         Work that an interrupt brought is left out of the filtered number and in the unfiltered one.",
    ))];
    let phase = Phase {
        id: "steady",
        name: "steady",
        title: "Kernel functions at work, by workload and system",
        caption: "Bar and number: any repeat, interrupts left out. Diamond: with interrupts.",
    };
    let measured: Vec<&str> =
        names::WORKLOADS.into_iter().filter(|workload| names::has_steady_state(workload)).collect();
    blocks.extend(phase.blocks(measurement));
    blocks.extend(by_role(measurement, "steady"));
    blocks.extend(super::missing_runs(measurement, &measured));
    blocks
}

pub(super) fn start(measurement: &Measurement) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(Text::of(
        "Before it can be confined, a process is made: `execve`, memory, files, devices, and the \
         filter itself. That is done once, by code that has not seen a request yet; the data has it \
         as the role `launch`. An end, `exit_group` alone, takes apart what was there.",
    ))];
    let start = Phase {
        id: "start",
        name: "start",
        title: "Kernel functions of a start",
        caption: "Bar and number: all processes of the system until it serves, interrupts left \
                  out. Diamond: with interrupts.",
    };
    let exit = Phase {
        id: "exit",
        name: "exit",
        title: "Kernel functions of an end",
        caption: "Bar and number: all processes of the system, interrupts left out. Diamond: with \
                  interrupts.",
    };
    blocks.extend(start.blocks(measurement));
    blocks.extend(exit.blocks(measurement));
    blocks.extend(super::missing_runs(measurement, &names::WORKLOADS));
    blocks
}

/// What is said about a phase.
struct Phase<'a> {
    id: &'a str,
    name: &'a str,
    title: &'a str,
    caption: &'a str,
}

impl Phase<'_> {
    fn blocks(&self, measurement: &Measurement) -> Vec<Block> {
        let mut data = Table::new(
            self.title,
            &[
                "Workload",
                "System",
                "#Any repeat",
                "#Every repeat",
                "#With interrupts",
                "#Repeats",
                "By role",
            ],
        );
        let mut groups = Vec::new();
        for workload in view::workloads(measurement) {
            let mut rows = Vec::new();
            for run in view::of_workload(measurement, workload) {
                let Some(surface) = view::surface(run, self.name, None) else { continue };
                data.row(vec![
                    Cell::code(workload),
                    names::system(&run.system).into(),
                    number::size(surface.union.len()).into(),
                    number::size(surface.intersection.len()).into(),
                    number::size(surface.unfiltered.len()).into(),
                    number::size(surface.repeats).into(),
                    roles(run, self.name).into(),
                ]);
                rows.push(Row {
                    label: names::system(&run.system).into(),
                    tone: Tone::of(&run.system),
                    value: surface.union.len() as f64,
                    text: number::size(surface.union.len()),
                    ring: Some(surface.unfiltered.len() as f64),
                    limit: None,
                    spread: None,
                });
            }
            if !rows.is_empty() {
                groups.push(Group { title: names::workload(workload).into(), rows });
            }
        }
        if groups.is_empty() {
            return vec![super::missing(self.title, "no run has this phase")];
        }
        vec![Block::Picture(Box::new(Shown {
            id: self.id.into(),
            title: self.title.into(),
            caption: Text::of(self.caption),
            command: COMMAND.into(),
            plot: Picture::Bars(Bars { groups, apart: false }),
            data,
        }))]
    }
}

/// The functions of each role, in words: `guest 96, gateway 201`.
fn roles(run: &Run, phase: &str) -> String {
    let roles = view::role_names(run, phase).into_iter().filter_map(|role| {
        let surface = view::surface(run, phase, Some(role))?;
        let most = view::phases(run, phase)
            .into_iter()
            .filter_map(|phase| phase.roles.get(role))
            .map(|role| role.processes)
            .max()?;
        let processes = match most {
            0 | 1 => String::new(),
            most => format!(" ({} processes)", number::count(most.into())),
        };
        Some(format!("{role} {}{processes}", number::size(surface.union.len())))
    });
    roles.collect::<Vec<_>>().join(", ")
}

/// The systems of several roles, apart.
fn by_role(measurement: &Measurement, phase: &str) -> Option<Block> {
    let mut table = Table::new(
        "Functions at work by role; what two roles reach counts for each",
        &["Workload", "System", "By role", "#Together"],
    );
    for workload in view::workloads(measurement) {
        for run in view::of_workload(measurement, workload) {
            let Some(surface) = view::surface(run, phase, None) else { continue };
            if view::role_names(run, phase).len() > 1 {
                table.row(vec![
                    Cell::code(workload),
                    names::system(&run.system).into(),
                    roles(run, phase).into(),
                    number::size(surface.union.len()).into(),
                ]);
            }
        }
    }
    (!table.rows.is_empty()).then_some(Block::Table(table))
}
