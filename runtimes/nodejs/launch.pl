# Connects both sockets of a Node.js sandbox and becomes Node.js.
#
#     launch.pl [socket path] [task root]
#
# Node.js cannot put a socket on its own descriptors 1 and 2, so somebody must before it starts;
# only then console.*, native code and children all write to the log. Perl, because Debian is never
# without it, and because it is there in two milliseconds, which Python is not.
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

# V8 must know the limit to collect in time; by itself it goes by the host's memory, or by half of
# the cgroup's. The limit is given to it whole: since V8's heap is never all that a process holds, it
# is the cgroup that finds memory running out, which is told as such, and not V8, which would abort.
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
