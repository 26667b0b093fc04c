# Prepares a sandbox for a function that brings its own `bootstrap`, and becomes that bootstrap.
#
#     function_launcher.pl [socket path] [task root]
#
# The bootstrap speaks Lambda's Runtime API over HTTP. Its server is the executor: this program
# listens inside the sandbox's network, passes the listening socket out with its hello, puts the log
# on descriptors 1 and 2, waits for the environment, and execs. So nothing of a server is left in the
# sandbox, and the address is one that no other sandbox reaches.
#
# Perl, because Debian is never without it and it is there in two milliseconds. Its core knows no
# sendmsg, and its exec would hand a file that is no program to a shell: both are done by syscall.
use strict;
use warnings;
use Config;

my $AF_UNIX     = 1;
my $AF_INET     = 2;
my $SOCK_STREAM = 1;
my $SOL_SOCKET  = 1;
my $SCM_RIGHTS  = 1;
my $LOOPBACK    = "\x7f\0\0\1";
my $PORT        = 9001;    # what clients take where nobody tells them
my $BACKLOG     = 16;
my %SENDMSG     = (x86_64 => 46, aarch64 => 211);
my %EXECVE      = (x86_64 => 59, aarch64 => 221);

my ($machine) = $Config{archname} =~ /^([^-]+)/;
my $address   = $ARGV[0] // '/run/hearth/socket';
my $task_root = $ARGV[1] // '/var/task';
my $program   = "$task_root/bootstrap";

exists $SENDMSG{$machine} or die "launcher: this machine is $machine; known are x86_64, aarch64\n";

sub connect_for {
    my ($purpose) = @_;
    socket(my $connection, $AF_UNIX, $SOCK_STREAM, 0) or die "launcher: socket: $!\n";
    connect($connection, pack('S a*', $AF_UNIX, "$address\0")) or die "launcher: $address: $!\n";
    syswrite($connection, $purpose) or die "launcher: $address: $!\n";
    return $connection;
}

sub listen_inside {
    socket(my $listener, $AF_INET, $SOCK_STREAM, 0) or die "launcher: socket: $!\n";
    for my $port ($PORT, 0) {
        last if bind($listener, pack('S n a4 x8', $AF_INET, $port, $LOOPBACK));
        die "launcher: bind: $!\n" if $port == 0;
    }
    listen($listener, $BACKLOG) or die "launcher: listen: $!\n";
    my (undef, $port) = unpack('S n', getsockname($listener));
    return ($listener, $port);
}

sub encode_frame {
    my ($kind, $head) = @_;
    return pack('a N N a*', $kind, length $head, 0, $head);
}

sub send_with_descriptor {
    my ($connection, $bytes, $descriptor) = @_;
    my $part    = pack('P Q', $bytes, length $bytes);
    my $control = pack('Q l l l x4', 20, $SOL_SOCKET, $SCM_RIGHTS, $descriptor);
    my $message = pack('Q L x4 P Q P Q l x4', 0, 0, $part, 1, $control, length $control, 0);
    my $sent = syscall($SENDMSG{$machine}, fileno($connection), $message, 0);
    $sent == length $bytes or die "launcher: the executor does not take its socket: $!\n";
}

sub read_whole {
    my ($connection, $length) = @_;
    my $read = '';
    while (length $read < $length) {
        sysread($connection, $read, $length - length $read, length $read) or exit 0;
    }
    return $read;
}

open(my $complaints, '>&', \*STDERR) or die "launcher: $!\n";    # closed by exec
my $logs = connect_for('L');
open(STDOUT, '>&', $logs) or die "launcher: $!\n";
open(STDERR, '>&', $logs) or die "launcher: $!\n";
my ($listener, $port) = listen_inside();
my $control = connect_for('C');
my $hello = encode_frame('H', "{\"pid\":$$,\"runtime\":\"provided\"}");
send_with_descriptor($control, $hello, fileno($listener));

my ($kind, $head_length, $body_length) = unpack('a N N', read_whole($control, 9));
$kind eq 'I' or die "launcher: frame $kind out of order\n";
read_whole($control, $head_length);
for my $variable (split /\0/, read_whole($control, $body_length)) {
    my ($name, $value) = split /=/, $variable, 2;
    $ENV{$name} = $value;
}
$ENV{AWS_LAMBDA_RUNTIME_API} = "127.0.0.1:$port";
$ENV{LAMBDA_TASK_ROOT}       = $task_root;

chdir($task_root) or die "launcher: $task_root: $!\n";
my @arguments = ("$program\0");
my @variables = map { "$_=$ENV{$_}\0" } sort keys %ENV;
my $argument_list = pack('p* Q', @arguments, 0);
my $variable_list = pack('p* Q', @variables, 0);
syscall($EXECVE{$machine}, "$program\0", $argument_list, $variable_list);

# Still here: it could not become the bootstrap.
my $reason = lc "$!";
my $advice = $reason =~ /format/
    ? "Build it for Linux on $machine, or begin a script with #!"
    : $reason =~ /no such file/
    ? 'It needs an interpreter or a library that is not in the sandbox: link it statically'
    : $reason =~ /too long/
    ? 'envVars are larger than a process can be given'
    : 'Upload a bootstrap that can be executed';
my $failure = "{\"type\":\"Runtime.InvalidEntrypoint\","
    . "\"message\":\"fork/exec $program: $reason. $advice\"}";
syswrite($control, encode_frame('R', "{\"failure\":$failure}"));
exit 127;
