"""Start the page: `python app.py [--model NAME]...`."""

from unetseg.process import set_up

if __name__ == "__main__":
    set_up()  # before torch comes with the page
    from unetseg.demo import main

    main()
