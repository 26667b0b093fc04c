# Connects both sockets of a Node.js sandbox and becomes Node.js.
#
#     launch.pl [socket path] [task root]
#
# Node.js cannot put a socket on its own descriptors 1 and 2, so somebody must before it starts; only
# then console.*, native code and children all write to the log. Perl, because Debian is never without
# it and because it is there in two milliseconds, a fifth of what Python would take.
use strict;
use warnings;

my $AF_UNIX     = 1;
my $SOCK_STREAM = 1;
my $SEMI_SPACE_MB_MAX = 16;    # V8's own default

my $address   = $ARGV[0] // '/run/hearth/socket';
my $task_root = $ARGV[1] // '/var/task';
my $bootstrap = $0 =~ s/launch\.pl$/bootstrap.js/r;

sub connect_for {
    my ($purpose) = @_;
    socket(my $connection, $AF_UNIX, $SOCK_STREAM, 0) or die "launch: socket: $!\n";
    connect($connection, pack('S a*', $AF_UNIX, "$address\0")) or die "launch: $address: $!\n";
    syswrite($connection, $purpose) or die "launch: $address: $!\n";
    return $connection;
}

# V8 must know the limit, or it collects too late: it sees the host's memory, not the cgroup's. All of
# it, so that running out is the cgroup's finding and not a crash: what V8 holds is never the whole.
my $memory_mb = $ENV{AWS_LAMBDA_FUNCTION_MEMORY_SIZE} // 128;
my $semi_space_mb = int($memory_mb / 32);
$semi_space_mb = $SEMI_SPACE_MB_MAX if $semi_space_mb > $SEMI_SPACE_MB_MAX;

open(my $complaints, '>&', \*STDERR) or die "launch: $!\n";    # closed by exec
my $logs = connect_for('L');
open(STDOUT, '>&', $logs) or die "launch: $!\n";
open(STDERR, '>&', $logs) or die "launch: $!\n";
my $control = do {
    local $^F = 255;    # descriptors up to here outlive exec
    connect_for('C');
};

{
    no warnings 'exec';
    exec(
        'node',
        '--expose-gc',
        "--max-old-space-size=$memory_mb",
        "--max-semi-space-size=$semi_space_mb",
        $bootstrap, fileno($control), $task_root
    );
}
print {$complaints} "launch: node: $!\n";
exit 127;
