# relearnfs: `make demo` shows the main job, `make check` runs the tests. `make help` lists the rest.
#
# Folders and the arrows between them. A folder sees the public header of the folders in its USES line, and of no
# other: each folder is compiled with its own include directory, so a forbidden arrow does not compile. (That directory
# also holds what the seen headers include themselves; tests/check-borders keeps direct includes to the USES line.)
FOLDERS := base nn image purify cache fused train cli
USES.base   :=
USES.nn     := base
USES.image  := base
USES.cache  := base
USES.purify := base image nn
USES.fused  := base image cache purify
USES.train  := base image nn purify
USES.cli    := base image cache purify train fused

CC       ?= cc
AR       ?= ar
OBJCOPY  ?= objcopy
PKG_CONFIG ?= pkg-config
BUILD    ?= build$(if $(SAN),-san-$(subst $(comma),-,$(SAN)))$(if $(ONEDNN),-onednn-$(ONEDNN))
PREFIX   ?= /usr/local
DESTDIR  ?=
OPT      ?= -O2
comma    := ,
space    := $() $()
ARCH     := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
MAKEFLAGS += --no-builtin-rules
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif

# Device onednn is built in for x86-64. Debian's oneDNN for other processors computes convolutions by plain C loops, where
# OpenBLAS has kernels for them: they do without. ONEDNN=yes or no decides otherwise, and builds in a folder of its own.
WITH_ONEDNN := $(filter yes,$(or $(ONEDNN),$(if $(filter x86_64,$(ARCH)),yes)))
OMITTED     := $(if $(WITH_ONEDNN),,nn/onednn/%)

PKGS.nn     := openblas jansson zlib
PKGS.image  := libpng libturbojpeg libjpeg libwebp libtiff-4 zlib
PKGS.cache  := sqlite3
PKGS.purify := jansson
PKGS.fused  := fuse3 jansson libseccomp
PKGS.train  := jansson
PKGS.cli    := jansson
PKGS.base   := inih libcrypto libxxhash
LIBS.image  := -lgif
LIBS.nn     := $(if $(WITH_ONEDNN),-ldnnl) -lgomp
PKGS        := $(sort $(foreach f,$(FOLDERS),$(PKGS.$(f))))

# WERROR= builds with a compiler that warns of more than gcc 12 to 14 do.
WERROR   ?= -Werror
WARN = -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wimplicit-fallthrough $(WERROR)
ifneq ($(findstring clang,$(shell $(CC) --version 2>/dev/null)),)
OMP  := -fopenmp=libgomp
else
# Messages are cut on purpose where a buffer is full; gcc cannot tell that from a mistake.
WARN += -Wjump-misses-init -Wno-format-truncation
OMP  := -fopenmp
# For arm64 it would load so early that the sums of the matrix products do not all stay in registers.
ifeq ($(ARCH),aarch64)
$(BUILD)/nn/kernels/panels.o: OPT += -fno-schedule-insns
endif
endif
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
CFLAGS   ?= -g
ALL_CFLAGS  = -std=c17 -D_GNU_SOURCE $(OPT) $(CFLAGS) $(WARN) $(SANFLAGS) -pthread -fvisibility=hidden
ALL_LDFLAGS = $(LDFLAGS) $(SANFLAGS) -pthread
ARCHFLAGS.x86_64  := -march=x86-64-v3
# gcc 12 makes vector code of a maximum of floats as doubles, and fails at it.
ARCHFLAGS.aarch64 := -fno-builtin-fmax -fno-builtin-fmin
ARCHFLAGS ?= $(ARCHFLAGS.$(ARCH))
# nn/kernels is compiled once more for each of these, where the architecture has them; which of them runs is decided when
# a plan is made (nn/device/kernel_set.c).
KERNELS.x86_64 := avx512 bf16
KERNELS := $(KERNELS.$(ARCH))
KERNELFLAGS.avx512 := -march=x86-64-v4 -mprefer-vector-width=512
KERNELFLAGS.bf16   := $(KERNELFLAGS.avx512) -mavx512bf16

Q := $(if $(V),,@)

all: $(BUILD)/bin/relearn $(BUILD)/bin/relearnfsd $(BUILD)/share/relearnfs

help:
	@echo 'make demo       the main job on Fashion-MNIST: protect, mount, train, compare (report in demo/report.html)'
	@echo 'make check      build and run every test'
	@echo 'make bench      speed against PyTorch and against the hardware; BENCH=profiles: what a profile costs and achieves;'
	@echo '                BENCH=cell: a training step with its images; BENCH=purify: small images and photographs'
	@echo 'make study      STUDY_DATA=DIR STUDY=purifiers: accuracy for each protection and purifier; takes hours'
	@echo 'make deps       install the Debian packages that are missing'
	@echo 'make install    PREFIX=$(PREFIX) DESTDIR=$(DESTDIR); make uninstall undoes it'
	@echo 'make ONEDNN=no  without the device onednn (it is built in for x86-64); ONEDNN=yes with it'
	@echo 'make SAN=address,undefined check    make SAN=thread check'
	@echo 'make fuzz       FUZZ=NAME FUZZ_SECONDS=60'
	@echo 'make fmt check-headers test-FOLDER'

# ---- folders ----
# Every folder/x.c goes into one archive, except *_test.c (a test program each) and *_main.c (a program).
# The folders it sees and those they see: what a folder's public headers need, and what its tests link with.
below = $(sort $(USES.$(1)) $(foreach d,$(USES.$(1)),$(USES.$(d))))
# The two folders that compute get vector code; everything else runs on any CPU of the architecture.
NUMERIC := nn purify
MORE.nn := $(KERNELS:%=$(BUILD)/nn/kernels_%.o)
define folder_rules
SRC.$(1)   := $$(filter-out %_test.c %_main.c $(OMITTED),$$(wildcard $(1)/*.c $(1)/*/*.c))
TESTS.$(1) := $$(patsubst %.c,$(BUILD)/%,$$(filter-out $(OMITTED),$$(wildcard $(1)/*_test.c $(1)/*/*_test.c)))
OBJ.$(1)   := $$(SRC.$(1):%.c=$(BUILD)/%.o) $$(MORE.$(1))
CFLAGS.$(1) = -I $(BUILD)/inc/$(1) $$(shell $(PKG_CONFIG) --cflags $$(PKGS.$(1)) 2>/dev/null) $(if $(filter nn,$(1)),$(OMP) $(if $(WITH_ONEDNN),-DNN_ONEDNN)) $(if $(filter $(NUMERIC),$(1)),$(ARCHFLAGS) -O3 -fno-math-errno -fno-trapping-math)

$(BUILD)/inc/$(1)/.made: Makefile | $(addsuffix /.,$(USES.$(1)))
	@rm -rf $$(@D); mkdir -p $$(@D)
	@for dep in $(1) $(call below,$(1)); do \
	    if [ $$$$dep = base ]; then ln -s $(CURDIR)/base $$(@D)/base; \
	    else mkdir -p $$(@D)/$$$$dep; ln -s $(CURDIR)/$$$$dep/$$$$dep.h $$(@D)/$$$$dep/$$$$dep.h; fi; done
	@touch $$@

$(BUILD)/$(1)/%.o: $(1)/%.c $(BUILD)/inc/$(1)/.made
	@mkdir -p $$(@D)
	@echo "  CC $$<"
	$(Q)$$(CC) $$(ALL_CFLAGS) $$(CFLAGS.$(1)) -I $(1) -MMD -MP -c $$< -o $$@

$(BUILD)/$(1).a: $$(OBJ.$(1))
	@rm -f $$@
	@$$(AR) rcs $$@ $$^

$(BUILD)/$(1)/%_test: $(BUILD)/$(1)/%_test.o $(BUILD)/$(1).a $(foreach d,$(call below,$(1)),$(BUILD)/$(d).a)
	@mkdir -p $$(@D)
	@echo "  LD $$@"
	$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$< -Wl,--start-group $(BUILD)/$(1).a $(foreach d,$(call below,$(1)),$(BUILD)/$(d).a) -Wl,--end-group \
	    $$(shell $(PKG_CONFIG) --libs $$(sort $$(PKGS.$(1)) $(foreach d,$(call below,$(1)),$$(PKGS.$(d))))) $$(LIBS.$(1)) $(foreach d,$(call below,$(1)),$$(LIBS.$(d))) -lcmocka -lm

test-$(1): $(BUILD)/share/relearnfs $$(TESTS.$(1))
	@tests/run $$(TESTS.$(1))
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$(f))))
.SECONDARY:

# The networks are the files of train/nets: the list that train/nets.c has of them changes when one comes or goes.
NETS := $(sort $(patsubst train/nets/%.c,%,$(filter-out %_test.c,$(wildcard train/nets/*.c))))
CFLAGS.train += -I $(BUILD)/gen
$(BUILD)/train/nets.o: $(BUILD)/gen/train_nets.h
$(BUILD)/gen/train_nets.h: .always
	@mkdir -p $(@D)
	@echo '#define TRAIN_NETS(X) $(foreach n,$(NETS),X($n))' >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# A further build: one object whose only name to the outside is its table of kernels.
define kernels_rules
$(BUILD)/nn/$(1)/%.o: nn/kernels/%.c $(BUILD)/inc/nn/.made
	@mkdir -p $$(@D)
	@echo "  CC $$< ($(1))"
	$(Q)$$(CC) $$(ALL_CFLAGS) $$(CFLAGS.nn) $$(KERNELFLAGS.$(1)) -I nn -MMD -MP -c $$< -o $$@
$(BUILD)/nn/kernels_$(1).o: $(patsubst nn/kernels/%.c,$(BUILD)/nn/$(1)/%.o,$(filter-out %_test.c,$(wildcard nn/kernels/*.c)))
	$(Q)$$(CC) -r -nostdlib -o $$@.all $$^
	$(Q)$$(OBJCOPY) --redefine-sym nn_kernels=nn_kernels_$(1) $$@.all
	$(Q)$$(OBJCOPY) --keep-global-symbol=nn_kernels_$(1) $$@.all $$@
endef
$(foreach k,$(KERNELS),$(eval $(call kernels_rules,$(k))))

base/. nn/. image/. purify/. cache/. fused/. train/. cli/.:

ARCHIVES := $(FOLDERS:%=$(BUILD)/%.a)
LINK = $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(ARCHIVES) -Wl,--end-group \
       $(shell $(PKG_CONFIG) --libs $(PKGS)) $(sort $(foreach f,$(FOLDERS),$(LIBS.$(f)))) -lm

$(BUILD)/bin/relearn: $(BUILD)/cli/relearn_main.o $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LD $@"
	$(Q)$(LINK)
$(BUILD)/bin/relearnfsd: $(BUILD)/fused/relearnfsd_main.o $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LD $@"
	$(Q)$(LINK)
$(BUILD)/share/relearnfs: Makefile
	@mkdir -p $@
	@ln -sfn $(CURDIR)/models $@/models
	@ln -sfn $(CURDIR)/profiles $@/profiles
	@ln -sfn $(CURDIR)/matrices $@/matrices

# ---- tests ----
ALL_TESTS := $(foreach f,$(FOLDERS),$(TESTS.$(f)))
check: deps
	@$(MAKE) check-built
check-built: all check-headers $(ALL_TESTS)
	@BUILD=$(CURDIR)/$(BUILD) tests/run $(ALL_TESTS) $(wildcard tests/*.bats)

# Each public header compiles alone; no file reaches into another folder's private headers; each foreign
# library is included by one folder only.
check-headers: $(FOLDERS:%=$(BUILD)/inc/%/.made)
	@for h in base/*.h $(foreach f,$(filter-out base,$(FOLDERS)),$(wildcard $(f)/$(f).h)); do \
	    d=$${h%%/*}; $(CC) -std=c17 -D_GNU_SOURCE -fsyntax-only -Wall -Werror -x c -I $(BUILD)/inc/$$d $$h || exit 1; done
	@tests/check-borders $(foreach f,$(FOLDERS),$(f):$(subst $(space),$(comma),$(strip $(USES.$(f)))))

fmt:
	clang-format -i $(wildcard $(FOLDERS:%=%/*.[ch]) $(FOLDERS:%=%/*/*.[ch]))

# FUZZ: names (default: all); FUZZ_SECONDS: for each. Needs clang with its sanitizer runtimes. What was found stays in
# the corpora, and a run goes on from them. They begin as tests/fuzz/corpora.tar.xz, which fuzz-corpora makes: the
# smallest part of all corpora that reaches as much.
FUZZ         ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_SECONDS ?= 60
FUZZ_SEEDS.weights := tests/golden
FUZZ_SEEDS.image   := $(BUILD)/fuzz/image.seeds/src
FUZZ_SEEDS.arrays  := $(BUILD)/fuzz/arrays.seeds
FUZZ_FLAGS.import  := -max_len=1024 -len_control=0
fuzz:
	@$(MAKE) CC=clang WERROR= SAN=fuzzer-no-link,address,undefined fuzz-built
fuzz-corpora:
	@$(MAKE) CC=clang WERROR= SAN=fuzzer-no-link,address,undefined fuzz-packed
fuzz-packed: $(FUZZ:%=$(BUILD)/fuzz/%) $(BUILD)/fuzz/.corpora
	@rm -rf $(BUILD)/fuzz/least
	@$(foreach f,$(FUZZ),mkdir -p $(BUILD)/fuzz/least/$f.corpus && $(BUILD)/fuzz/$f -merge=1 -max_len=8192 $(FUZZ_FLAGS.$f) \
	    $(BUILD)/fuzz/least/$f.corpus $(BUILD)/fuzz/$f.corpus &&) true
	@tar -C $(BUILD)/fuzz/least -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner . | xz -9 >tests/fuzz/corpora.tar.xz
$(BUILD)/fuzz/.corpora: tests/fuzz/corpora.tar.xz
	@mkdir -p $(@D)
	@tar -C $(@D) -xJf $<
	@touch $@
fuzz-built: $(FUZZ:%=$(BUILD)/fuzz/%) $(BUILD)/fuzz/.corpora
	@$(foreach f,$(FUZZ),echo "== $f" && mkdir -p $(BUILD)/fuzz/$f.corpus && $(BUILD)/fuzz/$f -max_total_time=$(FUZZ_SECONDS) \
	    -max_len=8192 $(FUZZ_FLAGS.$f) -artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/$f.corpus $(FUZZ_SEEDS.$f) &&) true
$(BUILD)/fuzz/image: | $(BUILD)/fuzz/image.seeds/src
$(BUILD)/fuzz/arrays: | $(BUILD)/fuzz/arrays.seeds
$(BUILD)/fuzz/arrays.seeds: # the same of array files; none without numpy
	@/usr/bin/python3 tests/fuzz/array_seeds.py $@ || mkdir -p $@
$(BUILD)/fuzz/image.seeds/src: # a small file of each kind; none without PIL
	@/usr/bin/python3 tests/image_formats.py make $(@D) || mkdir -p $@
$(BUILD)/fuzz/%: tests/fuzz/fuzz_%.c $(ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LD $@"
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -I . -I cache -o $@ $< -Wl,--start-group $(ARCHIVES) -Wl,--end-group \
	    $(shell $(PKG_CONFIG) --cflags --libs $(PKGS)) $(sort $(foreach f,$(FOLDERS),$(LIBS.$(f)))) -lm

# Long: relearn bench with tests/study/STUDY.ini on STUDY_DATA, a folder with train/CLASS/IMAGE and test/. It goes on
# where it was, and what tests/study/results has is not measured again: new results are committed there.
# STUDY_ARGS are options of relearn bench: --table prints what is measured; what --table --json prints of STUDY=small,
# which takes two hours, is profiles/study.json, whose figures `relearn profile ls` shows.
STUDY ?= purifiers
study: all
	@[ -n '$(STUDY_DATA)' ] || { echo 'study: STUDY_DATA=DIR says where train/ and test/ are' >&2; exit 1; }
	@mkdir -p $(BUILD)/study/$(STUDY)/results
	@cp -n tests/study/results/*.json $(BUILD)/study/$(STUDY)/results/
	@$(BUILD)/bin/relearn bench --data '$(STUDY_DATA)/train' --test '$(STUDY_DATA)/test' --out $(BUILD)/study/$(STUDY) \
	    $(STUDY_ARGS) tests/study/$(STUDY).ini

bench: all
	@BUILD=$(CURDIR)/$(BUILD) NN_LIBS='$(LIBS.nn)' tests/bench/run $(BENCH)

demo: deps
	@$(MAKE) all
	@BUILD=$(CURDIR)/$(BUILD) tests/demo/run

deps:
	@tests/deps

# ---- install ----
MAN := $(wildcard man/*.[158])
$(BUILD)/man/.made: man/make-pages $(BUILD)/bin/relearn
	@rm -rf $(@D)
	@man/make-pages $(BUILD)/bin/relearn $(@D)
	@touch $@
install: all $(BUILD)/man/.made
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/relearnfs/models \
	    $(DESTDIR)$(PREFIX)/share/relearnfs/profiles $(DESTDIR)$(PREFIX)/share/relearnfs/matrices \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(BUILD)/bin/relearn $(BUILD)/bin/relearnfsd $(DESTDIR)$(PREFIX)/bin/
	ln -sfn ../bin/relearnfsd $(DESTDIR)$(PREFIX)/sbin/mount.fuse.relearnfs
	ln -sfn relearnfsd $(DESTDIR)$(PREFIX)/bin/relearnfs # what mount.fuse runs when mount.fuse.relearnfs is not in /sbin
	install -m 644 models/*.safetensors $(DESTDIR)$(PREFIX)/share/relearnfs/models/
	install -m 644 profiles/*.ini $(wildcard profiles/study.json) $(DESTDIR)$(PREFIX)/share/relearnfs/profiles/
	install -m 644 matrices/*.ini $(DESTDIR)$(PREFIX)/share/relearnfs/matrices/
	install -m 755 matrices/*.py $(DESTDIR)$(PREFIX)/share/relearnfs/matrices/
	sed 's|@PREFIX@|$(PREFIX)|g' systemd/relearnfs@.service.in > $(DESTDIR)$(PREFIX)/lib/systemd/system/relearnfs@.service
	for m in $(MAN) $(BUILD)/man/*.1; do s=$${m##*.}; install -d $(DESTDIR)$(PREFIX)/share/man/man$$s; \
	    install -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$$s/; done
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/relearn $(DESTDIR)$(PREFIX)/bin/relearnfsd $(DESTDIR)$(PREFIX)/bin/relearnfs \
	    $(DESTDIR)$(PREFIX)/sbin/mount.fuse.relearnfs
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/relearnfs@.service
	rm -rf $(DESTDIR)$(PREFIX)/share/relearnfs
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/relearn-*.1
	for m in $(MAN); do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}; done

clean:
	rm -rf build build-*

-include $(foreach f,$(FOLDERS),$(wildcard $(BUILD)/$(f)/*.d $(BUILD)/$(f)/*/*.d))
.PHONY: .always all help check check-built check-headers fmt fuzz fuzz-built fuzz-corpora fuzz-packed bench study demo deps install uninstall clean $(FOLDERS:%=test-%)
