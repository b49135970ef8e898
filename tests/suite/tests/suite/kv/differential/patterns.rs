//! What commands there are. See [`grammar`](super::grammar) for how to read a pattern.
//!
//! What is not here: commands that wait (but for those that need not), that tell of the server itself, or that
//! are documented as missing.

use super::rule::Rule;
use super::rule::Rule::{
    Any, Choice, Encoding, Exact, Near, Number, Pairs, Scan, ScanPairs, Sort, Sum, Unordered,
};

/// Commands that are sent together.
pub(super) struct Pattern {
    pub(super) weight: usize,
    pub(super) line: &'static str,
    /// One for each command.
    pub(super) rules: &'static [Rule],
}

impl Pattern {
    /// Whether it does no harm if a word is missing, or another; `!` in front says it does.
    pub(super) fn is_spoilable(&self) -> bool {
        !self.line.starts_with('!')
            && matches!(self.rules, [Exact | Number | Unordered | Pairs | Near(_)])
    }
}

/// Milliseconds that the two may be apart.
const APART: i64 = 5000;

macro_rules! patterns {
    ($($weight:literal $line:literal $($rule:expr),+;)*) => {
        &[$(Pattern { weight: $weight, line: $line, rules: &[$($rule),+] }),*]
    };
}

/// All of them.
#[rustfmt::skip]
pub(super) const PATTERNS: &[Pattern] = patterns! {
    // Strings.
    30 "SET $s $v [ NX | XX ] [ GET ] [ EX $E | PX $P | EXAT $A | PXAT $X | KEEPTTL ]" Exact;
    20 "GET $s" Exact;
    6 "GETSET $s $v" Exact;
    6 "GETDEL $s" Exact;
    8 "GETEX $s [ EX $E | PX $P | EXAT $A | PXAT $X | PERSIST ]" Exact;
    4 "SETNX $s $v" Exact;
    4 "SETEX $s $E $v" Exact;
    4 "PSETEX $s $P $v" Exact;
    6 "MSET { $s $v }" Exact;
    6 "MSETNX { $s $v }" Exact;
    6 "MGET { $s }" Exact;
    10 "APPEND $s $m" Exact;
    5 "STRLEN $s" Exact;
    10 "SETRANGE $s $o $m" Exact;
    8 "GETRANGE $s $n $n" Exact;
    3 "SUBSTR $s $n $n" Exact;
    8 "( INCR | DECR ) $s" Exact;
    10 "( INCRBY | DECRBY ) $s $i" Exact;
    // Sums beyond what Redis computes exactly are not kept, as they differ in the last digits.
    8 "INCRBYFLOAT @s $f ; DEL @s" Sum, Exact;
    4 "SET @s ( 10.5 | -3 | 1.25 ) ; INCRBYFLOAT @s ( 0.5 | -0.125 | 3.0e3 | 1 ) ; INCRBYFLOAT @s ( 0.5 | -4 | inf | x | 1.25 )" Exact, Exact, Exact;
    // Bits.
    10 "SETBIT $s $B ( 0 | 1 | 0 | 1 | 2 | x )" Exact;
    6 "GETBIT $s $B" Exact;
    // An empty range, and then an unknown unit: Redis 7.0 answers 0, later ones an error.
    8 "! BITCOUNT $s [ $n $n [ BYTE | BIT ] ]" Exact;
    2 "BITCOUNT $s ( $n | 0 -1 x | 0 x )" Exact;
    10 "BITPOS $s ( 0 | 1 | 0 | 1 | 2 ) [ $n [ $n [ BYTE | BIT ] ] ]" Exact;
    8 "BITOP ( AND | OR | XOR ) $s { $s }" Exact;
    4 "BITOP NOT $s $s" Exact;
    12 "! BITFIELD $s { GET $T $o | SET $T $o $j | INCRBY $T $o $i | GET $T #1 | SET $T #3 $j | OVERFLOW ( WRAP | SAT | FAIL | x ) }" Exact;
    4 "BITFIELD_RO $s { GET $T $o }" Exact;
    2 "BITFIELD_RO $s GET u8 0 SET u8 0 1" Exact;
    // Keys.
    20 "( DEL | UNLINK ) { $k }" Exact;
    2 "DEL { $y }" Exact;
    5 "( EXISTS | TOUCH ) { $k }" Exact;
    6 "TYPE $k" Exact;
    5 "( RENAME | RENAMENX ) $k $k" Exact;
    6 "COPY $k $k [ DB $d ] [ REPLACE ]" Exact;
    4 "MOVE $k $d" Exact;
    4 "KEYS $p" Unordered;
    4 "DBSIZE" Exact;
    4 "SCAN 0 [ MATCH $p ] COUNT 100000 [ TYPE ( string | list | hash | set | zset | x ) ]" Scan;
    2 "! SCAN ( x | 0 | 18446744073709551616 ) COUNT ( 0 | -1 | x )" Exact;
    10 "EXPIRE $k $E [ NX | XX | GT | LT ] [ XX | GT | z ]" Exact;
    10 "PEXPIRE $k $P [ NX | XX | GT | LT ] [ XX | GT | z ]" Exact;
    6 "EXPIREAT $k $A [ NX | XX | GT | LT ] [ XX | GT | z ]" Exact;
    6 "PEXPIREAT $k $X [ NX | XX | GT | LT ] [ XX | GT | z ]" Exact;
    6 "PERSIST $k" Exact;
    8 "( TTL | EXPIRETIME ) $k" Near(APART / 1000);
    8 "( PTTL | PEXPIRETIME ) $k" Near(APART);
    1 "TYPE @s ; OBJECT ENCODING @s" Exact, Encoding;
    1 "TYPE @l ; OBJECT ENCODING @l" Exact, Encoding;
    1 "TYPE @h ; OBJECT ENCODING @h" Exact, Encoding;
    1 "TYPE @t ; OBJECT ENCODING @t" Exact, Encoding;
    1 "TYPE @z ; OBJECT ENCODING @z" Exact, Encoding;
    2 "OBJECT ( FREQ | x | ENCODING ) nothing" Exact;
    2 "OBJECT FREQ $k" Exact;
    1 "KEYS * ; RANDOMKEY" Unordered, Choice;
    6 "SELECT $d" Exact;
    12 "SELECT 0" Exact;
    3 "SWAPDB $d $d" Exact;
    1 "( FLUSHDB | FLUSHALL ) [ SYNC | ASYNC | x ]" Exact;
    2 "PING [ $v ]" Exact;
    2 "ECHO $v" Exact;
    2 "NONSENSE { $n }" Exact;
    // Hashes.
    20 "HSET $h { $m $v }" Exact;
    4 "HMSET $h { $m $v }" Exact;
    6 "HSETNX $h $m $v" Exact;
    8 "HGET $h $m" Exact;
    6 "HMGET $h { $m }" Exact;
    6 "HGETALL $h" Pairs;
    4 "( HKEYS | HVALS ) $h" Unordered;
    8 "HDEL $h { $m }" Exact;
    4 "HLEN $h" Exact;
    4 "( HSTRLEN | HEXISTS ) $h $m" Exact;
    8 "HINCRBY $h $m $i" Exact;
    8 "HINCRBYFLOAT @h $m $f ; DEL @h" Sum, Exact;
    4 "HSET @h a ( 10.5 | -3 ) ; HINCRBYFLOAT @h a ( 0.5 | -0.125 | 3.0e3 ) ; HINCRBYFLOAT @h a ( 0.5 | -4 | inf | x | 1.25 )" Exact, Exact, Exact;
    4 "HSCAN $h 0 [ MATCH $p ] COUNT 100000" ScanPairs;
    2 "! HSCAN $h ( x | 0 ) COUNT ( 0 | x )" Exact;
    1 "HGETALL @h ; HRANDFIELD @h [ $R [ WITHVALUES ] ]" Pairs, Choice;
    // Lists.
    20 "( LPUSH | RPUSH ) $l { $m }" Exact;
    6 "( LPUSHX | RPUSHX ) $l { $m }" Exact;
    8 "( LPOP | RPOP ) $l [ $c ]" Exact;
    4 "LLEN $l" Exact;
    6 "LINDEX $l $n" Exact;
    8 "LSET $l $n $v" Exact;
    8 "LINSERT $l ( BEFORE | AFTER | BEFORE | AFTER | x ) $m $v" Exact;
    10 "LRANGE $l $n $n" Exact;
    4 "LRANGE $l 0 -1" Exact;
    6 "LTRIM $l $n $n" Exact;
    8 "LREM $l $c $m" Exact;
    10 "! LPOS $l $m [ RANK $r ] [ COUNT $c ] [ MAXLEN $c ]" Exact;
    2 "! LPOS $l $m ( RANK | RANK 0 | RANK x | COUNT -1 | MAXLEN -1 | x 1 )" Exact;
    4 "RPOPLPUSH $l $l" Exact;
    6 "LMOVE $l $l ( LEFT | RIGHT ) ( LEFT | RIGHT | x | LEFT )" Exact;
    6 "LMPOP ( 1 $l | 2 $l $l | 3 $l $l | 0 $l ) ( LEFT | RIGHT ) [ COUNT $c ]" Exact;
    1 "RPUSH @l $m ; ( BLPOP | BRPOP ) @l ( 0 | 1 | 0.5 | x | -1 )" Exact, Exact;
    1 "RPUSH @l $m ; BLMPOP ( 0 | 1.5 ) 2 @l $l ( LEFT | RIGHT ) [ COUNT $c ]" Exact, Exact;
    1 "RPUSH @l $m ; BLMOVE @l $l ( LEFT | RIGHT ) ( LEFT | RIGHT ) 0" Exact, Exact;
    1 "RPUSH @l $m ; BRPOPLPUSH @l $l 0" Exact, Exact;
    // Sets.
    20 "SADD $t { $m }" Exact;
    8 "SREM $t { $m }" Exact;
    4 "SISMEMBER $t $m" Exact;
    4 "SMISMEMBER $t { $m }" Exact;
    4 "SCARD $t" Exact;
    6 "SMEMBERS $t" Unordered;
    6 "SMOVE $t $t $m" Exact;
    8 "( SINTER | SUNION | SDIFF ) { $t }" Unordered;
    8 "( SINTERSTORE | SUNIONSTORE | SDIFFSTORE ) $t { $t }" Exact;
    6 "SINTERCARD ( 1 $t | 2 $t $t | 3 $t $t | 0 $t | x $t ) [ LIMIT $c ]" Exact;
    4 "SSCAN $t 0 [ MATCH $p ] COUNT 100000" Scan;
    1 "SMEMBERS @t ; SRANDMEMBER @t [ $R ]" Unordered, Choice;
    1 "SMEMBERS @t ; SPOP @t [ $c ] ; SCARD @t ; DEL @t" Unordered, Choice, Exact, Exact;
    // Large ones.
    2 "( RPUSH | LPUSH ) $l < $M >" Exact;
    2 "HSET $h < $M $m >" Exact;
    2 "SADD $t < $M >" Exact;
    2 "SADD $t < $I >" Exact;
    3 "ZADD $z < $x $M >" Exact;
    2 "! ZADD $y < 0 $M >" Exact;
    3 "( SREM | ZREM | HDEL ) $k < $M >" Exact;
    // Sorting.
    6 "SORT ( $l | $t | $z | $q ) ALPHA [ LIMIT $n $c ] [ GET # ] [ GET s* ] [ ASC | DESC ] [ STORE $l ]" Exact;
    3 "SORT $q BY ( s* | h*->a ) ALPHA [ DESC ] [ STORE $l ]" Exact;
    8 "! SORT ( $l | $t | $z | $q ) [ BY s* | BY h*->a ] [ LIMIT $n $c ] [ ASC | DESC ] [ GET # GET h*->a ]" Sort;
    4 "! SORT ( $l | $t | $z | $q ) [ BY s* | BY h*->a ] [ LIMIT $n $c ] [ DESC ] [ GET # ] STORE @l ; DEL @l" Sort, Any;
    2 "SORT $q BY nosort [ DESC ] [ LIMIT $n $c ]" Exact;
    2 "! SORT $y BY nosort [ DESC ] [ LIMIT $n $c ]" Exact;
    2 "SORT_RO $l ALPHA [ STORE $l ]" Exact;
    // Sorted sets.
    25 "ZADD $z [ NX | XX ] [ GT | LT ] [ CH ] { $x $m }" Exact;
    6 "ZADD $z [ NX | XX ] [ GT | LT ] [ CH ] INCR $x $m" Number;
    8 "! ZINCRBY $z $x $m" Number;
    1 "! ZINCRBY $z $x" Exact;
    8 "ZREM $z { $m }" Exact;
    6 "ZSCORE $z $m" Number;
    4 "ZMSCORE $z { $m }" Number;
    4 "ZCARD $z" Exact;
    6 "ZCOUNT $z $b $b" Exact;
    6 "! ( ZRANK | ZREVRANK ) $z $m" Exact;
    10 "ZRANGE $z $n $n [ REV ] [ WITHSCORES ]" Number;
    4 "ZRANGE $z 0 -1 WITHSCORES" Number;
    10 "ZRANGE $z $b $b BYSCORE [ REV ] [ LIMIT $n $c ] [ WITHSCORES ]" Number;
    4 "ZREVRANGE $z $n $n [ WITHSCORES ]" Number;
    6 "( ZRANGEBYSCORE | ZREVRANGEBYSCORE ) $z $b $b [ WITHSCORES ] [ LIMIT $n $c ]" Number;
    4 "ZRANGESTORE $z $z $n $n [ REV ]" Exact;
    6 "ZRANGESTORE $z $z $b $b BYSCORE [ REV ] [ LIMIT $n $c ]" Exact;
    4 "ZREMRANGEBYRANK $z $n $n" Exact;
    4 "ZREMRANGEBYSCORE $z $b $b" Exact;
    6 "( ZPOPMIN | ZPOPMAX ) $z [ $c ]" Number;
    6 "ZMPOP ( 1 $z | 2 $z $z | 3 $z $z | 0 $z ) ( MIN | MAX ) [ COUNT $c ]" Number;
    8 "( ZUNION | ZINTER ) ( 1 $z | 2 $z ( $z | $t ) | 0 $z | 3 $z ) [ WEIGHTS $w $w ] [ AGGREGATE ( SUM | MIN | MAX | x ) ] [ WITHSCORES ]" Number;
    4 "ZDIFF ( 1 $z | 2 $z ( $z | $t ) | 3 $z $z $t ) [ WITHSCORES ]" Number;
    8 "( ZUNIONSTORE | ZINTERSTORE ) $z 2 $z ( $z | $t ) [ WEIGHTS $w $w ] [ AGGREGATE ( SUM | MIN | MAX ) ]" Exact;
    4 "ZDIFFSTORE $z ( 1 $z | 2 $z ( $z | $t ) | 3 $z $z $t )" Exact;
    4 "ZINTERCARD ( 1 $z | 2 $z $t | 0 $z ) [ LIMIT $c ]" Exact;
    4 "ZSCAN $z 0 [ MATCH $p ] COUNT 100000" ScanPairs;
    1 "ZRANGE @z 0 -1 WITHSCORES ; ZRANDMEMBER @z [ $R [ WITHSCORES ] ]" Number, Choice;
    1 "ZADD @z 1 $m ; ( BZPOPMIN | BZPOPMAX ) @z ( 0 | 0.1 )" Exact, Number;
    1 "ZADD @z 1 $m ; BZMPOP 0 2 @z $z ( MIN | MAX ) [ COUNT $c ]" Exact, Number;
    8 "! ZADD $y 0 $m" Exact;
    4 "ZREM $y { $m }" Exact;
    5 "ZLEXCOUNT $y $e $e" Exact;
    8 "ZRANGE $y $e $e BYLEX [ REV ] [ LIMIT $n $c ]" Exact;
    5 "( ZRANGEBYLEX | ZREVRANGEBYLEX ) $y $e $e [ LIMIT $n $c ]" Exact;
    3 "ZRANGESTORE $y $y $e $e BYLEX [ REV ] [ LIMIT $n $c ]" Exact;
    3 "ZREMRANGEBYLEX $y $e $e" Exact;
    // Transactions.
    12 "MULTI" Exact;
    40 "EXEC" Exact;
    4 "DISCARD" Exact;
    10 "WATCH { $k }" Exact;
    2 "UNWATCH" Exact;
    1 "OBJECT ( REFCOUNT | IDLETIME ) @s" Any;
};
