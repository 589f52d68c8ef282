# Files of src/net.
libcomity_a_SOURCES += src/net/backlog.c src/net/backlog.h src/net/conn.c src/net/conn.h src/net/conn_lanes.c src/net/conn_pause.c src/net/conn_socket.c src/net/dane.c src/net/dane.h \
	src/net/dial.c src/net/dial.h src/net/dial_race.c src/net/dial_socket.c src/net/dial_state.h \
	src/net/dial_tlsa.c src/net/dns.c src/net/dns.h src/net/dns_cares.c \
	src/net/dns_message.c src/net/dns_name.c \
	src/net/jobs.c src/net/jobs.h src/net/listener.c src/net/listener.h src/net/peers.c src/net/peers.h \
	src/net/srv.c src/net/srv.h src/net/tls.c src/net/tls.h src/net/tls_context.c src/net/tls_context.h \
	src/net/trust.c src/net/trust.h src/net/watch.c src/net/watch.h src/net/worker.c src/net/worker.h \
	src/net/worker_loop.c src/net/worker_loop.h
