//! The commands that have to do with sorted sets and wait for nothing.

use super::super::{Command, Flags, Group, Keys};
use super::{
    add, combine, length, pop, random, range, rank, remove, reverse_rank, scan, score, scores,
};

const WRITE: Flags = Flags::WRITE;
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const STORE: Flags = Flags::WRITE.and(Flags::DENY_OOM);
const GROW: Flags = STORE.and(Flags::FAST);
const POP_OF_MANY: Flags = Flags::WRITE.and(Flags::MOVABLE_KEYS);
const READ: Flags = Flags::READ;
const FAST_READ: Flags = Flags::READ.and(Flags::FAST);
const COMBINE: Flags = Flags::READ.and(Flags::MOVABLE_KEYS);
const LOG: &str = "O(log N)";
const WALK: &str = "O(log N + M) with the members that are returned";
const POPPED: &str = "O(M log N) with the members that are popped";
const UNION: &str = "O(N log N) with the members of all sets";
const INTERSECTION: &str =
    "O(N K) with the members of the smallest of K sets, and O(M log M) for the result";
const DIFFERENCE: &str =
    "O(N K) with the members of the first of K sets, and O(M log M) for the result";

/// The group.
pub(in super::super) const GROUP: Group = Group {
    name: "sorted-set",
    commands: &[
        Command::new("zadd", -4, GROW, Keys::ONE, add::add).about(
            "1.2.0",
            "O(log N) for each member",
            "Gives members scores, and adds those that are new.",
        ),
        Command::new("zincrby", 4, GROW, Keys::ONE, add::increase_by).about(
            "1.2.0",
            LOG,
            "Adds to the score of a member.",
        ),
        Command::new("zrem", -3, FAST_WRITE, Keys::ONE, remove).about(
            "1.2.0",
            "O(M log N) with the members that are removed",
            "Removes members.",
        ),
        Command::new("zscore", 3, FAST_READ, Keys::ONE, score).about(
            "1.2.0",
            "O(1)",
            "Returns the score of a member.",
        ),
        Command::new("zmscore", -3, FAST_READ, Keys::ONE, scores).about(
            "6.2.0",
            "O(N) with the members that are asked for",
            "Returns the scores of members.",
        ),
        Command::new("zcard", 2, FAST_READ, Keys::ONE, length).about(
            "1.2.0",
            "O(1)",
            "Returns how many members there are.",
        ),
        Command::new("zrank", -3, FAST_READ, Keys::ONE, rank).about(
            "2.0.0",
            LOG,
            "Returns how many members come before one.",
        ),
        Command::new("zrevrank", -3, FAST_READ, Keys::ONE, reverse_rank).about(
            "2.0.0",
            LOG,
            "Returns how many members come after one.",
        ),
        Command::new("zrandmember", -2, READ, Keys::ONE, random).about(
            "6.2.0",
            "O(N log N) with the members that are returned",
            "Returns random members.",
        ),
        Command::new("zscan", -3, READ, Keys::ONE, scan).about(
            "2.8.0",
            "O(1) a call",
            "Returns some members with their scores, and a cursor to go on with.",
        ),
        Command::new("zcount", 4, FAST_READ, Keys::ONE, range::count_by_score).about(
            "2.0.0",
            LOG,
            "Returns how many members have a score in a range.",
        ),
        Command::new("zlexcount", 4, FAST_READ, Keys::ONE, range::count_by_member).about(
            "2.8.9",
            LOG,
            "Returns how many members are in a range of members.",
        ),
        Command::new("zrange", -4, READ, Keys::ONE, range::range).about(
            "1.2.0",
            WALK,
            "Returns members in a range of ranks, scores or members.",
        ),
        Command::new("zrevrange", -4, READ, Keys::ONE, range::reverse_range).about(
            "1.2.0",
            WALK,
            "Returns members in a range of ranks from the end.",
        ),
        Command::new("zrangebyscore", -4, READ, Keys::ONE, range::by_score).about(
            "1.0.5",
            WALK,
            "Returns members with a score in a range.",
        ),
        Command::new("zrevrangebyscore", -4, READ, Keys::ONE, range::reverse_by_score).about(
            "2.2.0",
            WALK,
            "Returns members with a score in a range, the highest first.",
        ),
        Command::new("zrangebylex", -4, READ, Keys::ONE, range::by_member).about(
            "2.8.9",
            WALK,
            "Returns members in a range of members.",
        ),
        Command::new("zrevrangebylex", -4, READ, Keys::ONE, range::reverse_by_member).about(
            "2.8.9",
            WALK,
            "Returns members in a range of members, the last first.",
        ),
        Command::new("zrangestore", -5, STORE, Keys::TWO, range::store).about(
            "6.2.0",
            "O(log N + M log M) with the members that are stored",
            "Stores the members in a range at another key.",
        ),
        Command::new("zremrangebyrank", 4, WRITE, Keys::ONE, range::remove_by_rank).about(
            "2.0.0",
            "O(M log N) with the members that are removed",
            "Removes the members with a rank in a range.",
        ),
        Command::new("zremrangebyscore", 4, WRITE, Keys::ONE, range::remove_by_score).about(
            "1.2.0",
            "O(M log N) with the members that are removed",
            "Removes the members with a score in a range.",
        ),
        Command::new("zremrangebylex", 4, WRITE, Keys::ONE, range::remove_by_member).about(
            "2.8.9",
            "O(M log N) with the members that are removed",
            "Removes the members in a range of members.",
        ),
        Command::new("zpopmin", -2, FAST_WRITE, Keys::ONE, pop::pop_lowest).about(
            "5.0.0",
            POPPED,
            "Takes the members with the lowest scores.",
        ),
        Command::new("zpopmax", -2, FAST_WRITE, Keys::ONE, pop::pop_highest).about(
            "5.0.0",
            POPPED,
            "Takes the members with the highest scores.",
        ),
        Command::new("zmpop", -4, POP_OF_MANY, Keys::NONE, pop::pop_of_many).about(
            "7.0.0",
            POPPED,
            "Takes members of the first sorted set that exists.",
        ),
        Command::new("zunion", -3, COMBINE, Keys::NONE, combine::union).about(
            "6.2.0",
            UNION,
            "Returns the members of any of several sets.",
        ),
        Command::new("zinter", -3, COMBINE, Keys::NONE, combine::intersection).about(
            "6.2.0",
            INTERSECTION,
            "Returns the members of all of several sets.",
        ),
        Command::new("zdiff", -3, COMBINE, Keys::NONE, combine::difference).about(
            "6.2.0",
            DIFFERENCE,
            "Returns the members of the first set that are in no other.",
        ),
        Command::new("zintercard", -3, COMBINE, Keys::NONE, combine::count_intersection).about(
            "7.0.0",
            INTERSECTION,
            "Returns how many members are in all of several sets.",
        ),
        Command::new(
            "zunionstore",
            -4,
            STORE.and(Flags::MOVABLE_KEYS),
            Keys::ONE,
            combine::store_union,
        )
        .about("2.0.0", UNION, "Stores the members of any of several sets."),
        Command::new(
            "zinterstore",
            -4,
            STORE.and(Flags::MOVABLE_KEYS),
            Keys::ONE,
            combine::store_intersection,
        )
        .about("2.0.0", INTERSECTION, "Stores the members of all of several sets."),
        Command::new(
            "zdiffstore",
            -4,
            STORE.and(Flags::MOVABLE_KEYS),
            Keys::ONE,
            combine::store_difference,
        )
        .about(
            "6.2.0",
            DIFFERENCE,
            "Stores the members of the first set that are in no other.",
        ),
    ],
};
