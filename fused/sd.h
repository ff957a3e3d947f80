#ifndef FUSED_SD_H
#define FUSED_SD_H
/* Tells the service manager, when there is one ($NOTIFY_SOCKET), "READY=1", "STOPPING=1" or
   "STATUS=...". The protocol is one datagram (sd_notify(3)). Failures do not matter to us. */
void sd_tell(const char *text);
#endif
