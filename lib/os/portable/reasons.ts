/** Why something is not measured by the portable backend. */

export const NO_FILE_HANDLES = 'not counted here: this system has no /proc/PID/fd, and lsof takes seconds';
export const NO_SOCKETS = 'not counted here: this system has no /proc/PID/fd, and lsof takes seconds';
